package cli

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
)

func TestConfigOptions(t *testing.T) {
	plain := func(text string) string { return "2> " + text + "\n(exit 1)\n" }
	usage := func(text string) string { return "2> " + text + "\n2> <usage>\n(exit 1)\n" }
	const sentence = "This tool helps to manipulate and describe entity config for a topic, client, user, broker or ip"
	const oneAction = "Command must include exactly one action: --describe, --alter"
	for line, want := range map[string]string{
		"":                                       usage(sentence),
		"--help":                                 usage(sentence),
		"--version":                              "2.8.2 (Commit:3146c6ff4a24cc24)\n",
		"--foo":                                  plain("foo is not a recognized option"),
		"--describe --alter":                     usage(oneAction),
		"--entity-type topics":                   usage(oneAction),
		"--describe --topic t --add-config a=b":  usage(`Option "[describe]" can't be used with option "[add-config]"`),
		"--describe --topic t --delete-config a": usage(`Option "[describe]" can't be used with option "[delete-config]"`),
		"--describe":                             plain("At least one entity type must be specified"),
		"--alter --bootstrap-server b --entity-name x --add-config a=b": plain("At least one entity type must be specified"),
		"--describe --entity-type topics":                               plain("One of the required --bootstrap-server or --zookeeper arguments must be specified"),
		"--describe --topic t --zookeeper z --bootstrap-server b":       plain("Only one of --bootstrap-server or --zookeeper must be specified"),
		"--describe --entity-type foo":                                  plain("Invalid entity type foo, the entity type must be one of topics,clients,users,brokers,ips with the --zookeeper argument"),
		"--describe --bootstrap-server b --entity-type foo": plain("Invalid entity type foo, the entity type must be one of topics,clients,users,brokers,ips,broker-loggers " +
			"with the --bootstrap-server argument"),
		"--describe --zookeeper z --broker-logger 0":                                          plain("Invalid entity type broker-loggers, the entity type must be one of topics,clients,users,brokers,ips with the --zookeeper argument"),
		"--describe --bootstrap-server b --entity-type topics --entity-type topics":           plain("Duplicate entity type(s) specified: topics"),
		"--describe --bootstrap-server b --entity-type topics --topic t":                      plain("Duplicate entity type(s) specified: topics"),
		"--describe --bootstrap-server b --user u --user-defaults":                            plain("Duplicate entity type(s) specified: users"),
		"--describe --bootstrap-server b --entity-type topics --entity-type users":            plain("Only 'users' and 'clients' entity types may be specified together"),
		"--describe --bootstrap-server b --entity-type users --client c":                      plain("--entity-{type,name,default} should not be used in conjunction with specific entity flags"),
		"--describe --zookeeper z --topic t --all":                                            plain("--bootstrap-server must be specified for --all"),
		"--describe --bootstrap-server b --entity-type brokers --entity-name abc":             plain("The entity name for brokers must be a valid integer broker id, but it is: abc"),
		"--describe --bootstrap-server b --broker-logger abc":                                 plain("The entity name for broker-loggers must be a valid integer broker id, but it is: abc"),
		"--describe --bootstrap-server b --entity-type broker-loggers":                        plain("an entity name must be specified with --describe of broker-loggers"),
		"--describe --bootstrap-server b --ip a..b":                                           plain("The entity name for ips must be a valid IP or resolvable host, but it is: a..b"),
		"--alter --bootstrap-server b --entity-type topics --add-config a=b":                  plain("an entity name must be specified with --alter of topics"),
		"--alter --bootstrap-server b --entity-type topics --entity-default --add-config a=b": plain("an entity name must be specified with --alter of topics"),
		"--alter --bootstrap-server b --entity-type users --add-config a=b":                   plain("an entity-name or default entity must be specified with --alter of users, clients, brokers or ips"),
		"--alter --bootstrap-server b --topic t":                                              plain("At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter"),
		"--alter --bootstrap-server b --topic t --add-config a=b --add-config-file f":         plain("Only one of --add-config or --add-config-file must be specified"),
		"--alter --bootstrap-server b --topic t --topic u --add-config a=b":                   plain("Found multiple arguments for option topic, but you asked for only one"),
		"--alter --bootstrap-server localhost:1 --topic t --add-config a":                     plain(`requirement failed: Invalid entity config: all configs to be added must be in the format "key=val".`),
		"--alter --bootstrap-server localhost:1 --client c --add-config a=1,b=2":              plain("Only quota configs can be added for 'clients' using --bootstrap-server. Unexpected config names: Set(a, b)"),
		"--alter --bootstrap-server localhost:1 --client c --delete-config a,SCRAM-SHA-256": plain("Only quota configs can be deleted for 'clients' using --bootstrap-server. " +
			"Unexpected config names: ArrayBuffer(a, SCRAM-SHA-256)"),
		"--alter --bootstrap-server localhost:1 --user u --add-config a=1": plain("Only quota and SCRAM credential configs can be added for 'users' using --bootstrap-server. " +
			"Unexpected config names: Set(a)"),
		"--alter --bootstrap-server localhost:1 --ip 127.0.0.1 --delete-config a,b": plain("Only connection quota configs can be added for 'ips' using --bootstrap-server. " +
			"Unexpected config names: a,b"),
		"--alter --bootstrap-server localhost:1 --user-defaults --add-config SCRAM-SHA-256=[password=p]": plain("The use of --entity-default or --user-defaults is not allowed with " +
			"User SCRAM Credentials using --bootstrap-server."),
		"--alter --bootstrap-server localhost:1 --user u --add-config SCRAM-SHA-256=[password=p],producer_byte_rate=1": plain("Cannot alter both quota and SCRAM credential configs " +
			"simultaneously for 'users' using --bootstrap-server."),
		"--alter --bootstrap-server localhost:1 --user u --add-config SCRAM-SHA-256=[iterations=1,password=p]":                         plain("Iterations 1 is less than the minimum 4096 required for SCRAM-SHA-256"),
		"--alter --bootstrap-server localhost:1 --entity-type users --entity-name a --entity-name b --add-config producer_byte_rate=1": plain("An entity name must be specified for every entity type"),
		"--describe --bootstrap-server localhost:1 --entity-type users --entity-name a --entity-name b":                                plain("More entity names specified than entity types"),
	} {
		t.Run(line, func(t *testing.T) {
			require.Equal(t, want, withoutHelp(transcript("kafka-configs "+line)))
		})
	}
}

func TestAddedConfigs(t *testing.T) {
	for text, want := range map[string]map[string]string{
		"a=1":                              {"a": "1"},
		"a=1,b=2":                          {"a": "1", "b": "2"},
		"a = 1 , b =2":                     {"a": "1", "b": "2"},
		"a=":                               {"a": ""},
		"a=[1,2],b=3":                      {"a": "1,2", "b": "3"},
		"a=[x=1,y=2],b=[z]":                {"a": "x=1,y=2", "b": "z"},
		"message.format.version=2.4,a=[b]": {"message.format.version": "2.4", "a": "b"},
		"a=1=2":                            nil,
		"a":                                nil,
		"":                                 nil,
		"a=1,":                             nil,
	} {
		o := newConfigOptions()
		set, err := o.parser.Parse([]string{"--add-config=" + text})
		require.NoError(t, err)
		o.Set = set
		var out strings.Builder
		got, err := o.added(&out)
		require.Equal(t, want, got, text)
		require.Equal(t, want == nil, err != nil, text)
		require.Equal(t, strings.Contains(text, "message.format"), out.Len() > 0)
	}
}

func FuzzAddedConfigs(f *testing.F) {
	for _, seed := range []string{"a=1", "a=[1,2],b=[c=d]", "a]=[b", "[[[", "=,=", "a=[", "ä=ö"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		require.Equal(t, text, strings.Join(splitOutside(text, ','), ","))
		o := newConfigOptions()
		set, err := o.parser.Parse([]string{"--add-config", text})
		require.NoError(t, err)
		o.Set = set
		configs, err := o.added(&strings.Builder{})
		if err != nil {
			require.Equal(t, illegalArgument, javaClass(err))
			return
		}
		for _, value := range configs {
			require.False(t, brackets.MatchString(value))
		}
	})
}

func TestDeletedConfigs(t *testing.T) {
	o := newConfigOptions()
	set, err := o.parser.Parse([]string{"--delete-config", "a, b,,c", "--delete-config", "d", "--delete-config="})
	require.NoError(t, err)
	o.Set = set
	require.Equal(t, []string{"a", "b", "c", "d", ""}, o.deleted())
}

// configBroker answers DescribeConfigs with three settings of each entity:
// its own, one of the file and a default; what is changed is noted.
func configBroker(t *testing.T) *wireBroker {
	b := newWireBroker(t)
	b.topics = []kmsg.MetadataResponseTopic{wireTopic("t", "0 0 0"), wireTopic("conf", "0 0 0")}
	own := map[kmsg.ConfigResourceType]kmsg.ConfigSource{kmsg.ConfigResourceTypeTopic: kmsg.ConfigSourceDynamicTopicConfig,
		kmsg.ConfigResourceTypeBroker: kmsg.ConfigSourceDynamicBrokerConfig, kmsg.ConfigResourceTypeBrokerLogger: kmsg.ConfigSourceDynamicBrokerLoggerConfig}
	b.answers[32] = func(req kmsg.Request) kmsg.Response {
		asked := req.(*kmsg.DescribeConfigsRequest)
		resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
		r := kmsg.NewDescribeConfigsResponseResource()
		r.ResourceType, r.ResourceName = asked.Resources[0].ResourceType, asked.Resources[0].ResourceName
		if r.ResourceName == "gone" {
			r.ErrorCode, r.ErrorMessage = kerr.UnknownTopicOrPartition.Code, kmsg.StringPtr("")
		}
		source := own[r.ResourceType]
		if r.ResourceType == kmsg.ConfigResourceTypeBroker && r.ResourceName == "" {
			source = kmsg.ConfigSourceDynamicDefaultBrokerConfig
		}
		add := func(name string, value *string, source kmsg.ConfigSource) {
			c := kmsg.NewDescribeConfigsResponseResourceConfig()
			c.Name, c.Value, c.Source, c.IsSensitive = name, value, source, value == nil
			if asked.IncludeSynonyms {
				for _, s := range []kmsg.ConfigSource{source, kmsg.ConfigSourceDefaultConfig} {
					synonym := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
					synonym.Name, synonym.Value, synonym.Source = name, value, s
					c.ConfigSynonyms = append(c.ConfigSynonyms, synonym)
				}
			}
			r.Configs = append(r.Configs, c)
		}
		add("own.key", kmsg.StringPtr("1"), source)
		add("file.key", kmsg.StringPtr("2"), kmsg.ConfigSourceStaticBrokerConfig)
		add("hidden.key", nil, kmsg.ConfigSourceDefaultConfig)
		resp.Resources = append(resp.Resources, r)
		return resp
	}
	b.answers[44] = func(req kmsg.Request) kmsg.Response { return req.ResponseKind() }
	b.answers[33] = func(req kmsg.Request) kmsg.Response { return req.ResponseKind() }
	return b
}

func TestConfigsDescribeThroughBroker(t *testing.T) {
	b := configBroker(t)
	describe := func(options string) string {
		return b.run("kafka-configs --describe --bootstrap-server BROKER " + options)
	}
	own := func(source string) string {
		return "  own.key=1 sensitive=false synonyms={" + source + ":own.key=1, DEFAULT_CONFIG:own.key=1}\n"
	}
	require.Equal(t, "Dynamic configs for topic t are:\n"+own("DYNAMIC_TOPIC_CONFIG"), describe("--topic t"))
	require.Equal(t, "Dynamic configs for topic t are:\n"+own("DYNAMIC_TOPIC_CONFIG")+"Dynamic configs for topic conf are:\n"+own("DYNAMIC_TOPIC_CONFIG"),
		describe("--entity-type topics"))
	const (
		file   = "  file.key=2 sensitive=false synonyms={STATIC_BROKER_CONFIG:file.key=2, DEFAULT_CONFIG:file.key=2}\n"
		hidden = "  hidden.key=null sensitive=true synonyms={DEFAULT_CONFIG:hidden.key=null, DEFAULT_CONFIG:hidden.key=null}\n"
	)
	all := describe("--entity-type topics --entity-name t --all")
	for _, part := range []string{"All configs for topic t are:\n", own("DYNAMIC_TOPIC_CONFIG"), file, hidden} {
		require.Contains(t, all, part)
	}
	require.Equal(t, "Dynamic configs for broker 0 are:\n"+own("DYNAMIC_BROKER_CONFIG")+
		"Default configs for brokers in the cluster are:\n"+own("DYNAMIC_DEFAULT_BROKER_CONFIG"), describe("--entity-type brokers"))
	require.Equal(t, 4, strings.Count(describe("--broker-logger 0"), "\n"), "loggers are shown all")
	require.Equal(t, "Dynamic configs for topic gone are:\n2> Error while executing config command with args '--describe --bootstrap-server "+b.addr+" --topic gone'\n"+
		"2> java.util.concurrent.ExecutionException: "+commonErrors+"UnknownTopicOrPartitionException: \n"+
		"2> Caused by: "+commonErrors+"UnknownTopicOrPartitionException: \n(exit 1)\n", describe("--topic gone"))
	require.Contains(t, describe("--topic 'a b'"), "2> "+commonErrors+"InvalidTopicException: Topic name \"a b\" is illegal")
}

func TestConfigsAlterThroughBroker(t *testing.T) {
	b := configBroker(t)
	alter := func(options string) string {
		return b.run("kafka-configs --alter --bootstrap-server BROKER " + options)
	}
	require.Equal(t, "Completed updating config for topic t.\n", alter("--topic t --add-config 'b=[1,2],a=3' --delete-config own.key"))
	changed := b.asked(44)[0].(*kmsg.IncrementalAlterConfigsRequest).Resources[0]
	require.Equal(t, "t", changed.ResourceName)
	require.Len(t, changed.Configs, 3)
	require.Equal(t, "1,2", *changed.Configs[1].Value)
	require.Equal(t, kmsg.IncrementalAlterConfigOpDelete, changed.Configs[2].Op)
	require.Equal(t, "2> Invalid config(s): file.key,x\n(exit 1)\n", alter("--topic t --delete-config file.key,own.key,x"))

	require.Equal(t, "Completed updating config for broker 0.\n", alter("--broker 0 --add-config new.key=5"))
	replaced := b.asked(33)[0].(*kmsg.AlterConfigsRequest).Resources[0]
	require.Equal(t, kmsg.ConfigResourceTypeBroker, replaced.ResourceType)
	require.Len(t, replaced.Configs, 2, "the old settings are sent again")
	require.Equal(t, "Completed updating default config for brokers in the cluster.\n", alter("--broker-defaults --delete-config own.key"))
	require.Empty(t, b.asked(33)[1].(*kmsg.AlterConfigsRequest).Resources[0].Configs)

	require.Equal(t, "Completed updating config for broker-logger 0.\n", alter("--broker-logger 0 --add-config own.key=DEBUG"))
	require.Equal(t, "2> Invalid broker logger(s): b,a\n(exit 1)\n", alter("--broker-logger 0 --add-config a=DEBUG --delete-config b"))

	b.answers[44] = func(req kmsg.Request) kmsg.Response {
		resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
		r := kmsg.NewIncrementalAlterConfigsResponseResource()
		r.ErrorCode, r.ErrorMessage = kerr.InvalidConfig.Code, kmsg.StringPtr("Unknown topic config name: a")
		resp.Resources = append(resp.Resources, r)
		return resp
	}
	require.Contains(t, alter("--topic t --add-config a=1"), "2> java.util.concurrent.ExecutionException: "+invalidConfiguration+": Unknown topic config name: a\n")
}

// A setting that the broker does not show has to be given again, because all
// of a broker's settings are replaced.
func TestHiddenBrokerConfigsAreNotLost(t *testing.T) {
	b := configBroker(t)
	describe := b.answers[32]
	b.answers[32] = func(req kmsg.Request) kmsg.Response {
		resp := describe(req).(*kmsg.DescribeConfigsResponse)
		resp.Resources[0].Configs[0].Value = nil
		return resp
	}
	require.Equal(t, "2> All sensitive broker config entries must be specified for --alter, missing entries: Set(own.key)\n(exit 1)\n",
		b.run("kafka-configs --alter --bootstrap-server BROKER --broker 0 --add-config a=1"))
	require.Empty(t, b.asked(33))
}

// quotaBroker has quotas of u with c, and of the default client.
func quotaBroker(t *testing.T) *wireBroker {
	b := newWireBroker(t)
	b.answers[48] = func(req kmsg.Request) kmsg.Response {
		resp := req.ResponseKind().(*kmsg.DescribeClientQuotasResponse)
		entry := kmsg.NewDescribeClientQuotasResponseEntry()
		for _, c := range req.(*kmsg.DescribeClientQuotasRequest).Components {
			e := kmsg.NewDescribeClientQuotasResponseEntryEntity()
			e.Type, e.Name = c.EntityType, c.Match
			entry.Entity = append(entry.Entity, e)
		}
		for name, value := range map[string]float64{"producer_byte_rate": 12345678, "request_percentage": 50} {
			v := kmsg.NewDescribeClientQuotasResponseEntryValue()
			v.Key, v.Value = name, value
			entry.Values = append(entry.Values, v)
		}
		resp.Entries = append(resp.Entries, entry)
		return resp
	}
	b.answers[49] = func(req kmsg.Request) kmsg.Response { return req.ResponseKind() }
	b.answers[50] = func(req kmsg.Request) kmsg.Response {
		resp := req.ResponseKind().(*kmsg.DescribeUserSCRAMCredentialsResponse)
		for _, name := range []string{"u", "none", "bad"} {
			r := kmsg.NewDescribeUserSCRAMCredentialsResponseResult()
			r.User = name
			switch name {
			case "none":
				r.ErrorCode = kerr.ResourceNotFound.Code
			case "bad":
				r.ErrorCode = kerr.UnknownServerError.Code
			}
			c := kmsg.NewDescribeUserSCRAMCredentialsResponseResultCredentialInfo()
			c.Mechanism, c.Iterations = 2, 8192
			r.CredentialInfos = append(r.CredentialInfos, c)
			resp.Results = append(resp.Results, r)
		}
		return resp
	}
	b.answers[51] = func(req kmsg.Request) kmsg.Response { return req.ResponseKind() }
	return b
}

func TestQuotasThroughBroker(t *testing.T) {
	b := quotaBroker(t)
	run := func(options string) string { return b.run("kafka-configs --bootstrap-server BROKER " + options) }
	const values = " are request_percentage=50.0, producer_byte_rate=1.2345678E7\n"
	require.Equal(t, "Quota configs for user-principal 'u', client-id 'c'"+values, run("--describe --client c --user u"))
	require.Equal(t, "Quota configs for the default client-id"+values, run("--describe --client-defaults"))
	require.Equal(t, "Quota configs for ip '127.0.0.1'"+values, run("--describe --ip 127.0.0.1"))
	asked := b.asked(48)[0].(*kmsg.DescribeClientQuotasRequest)
	require.True(t, asked.Strict)
	require.Equal(t, kmsg.QuotasMatchTypeExact, asked.Components[0].MatchType)
	require.Equal(t, "Quota configs for user-principal 'u'"+values+"SCRAM credential configs for user-principal 'u' are SCRAM-SHA-512=iterations=8192\n"+
		"Error retrieving SCRAM credential configs for user-principal 'bad': UnknownServerException: "+kerr.UnknownServerError.Text+"\n", run("--describe --user u"))

	require.Equal(t, "Completed updating config for client c.\n", run("--alter --user u --client c --add-config producer_byte_rate=1.5 --delete-config request_percentage"))
	entry := b.asked(49)[0].(*kmsg.AlterClientQuotasRequest).Entries[0]
	require.Len(t, entry.Entity, 2)
	require.Equal(t, "client-id", entry.Entity[0].Type)
	require.InDelta(t, 1.5, entry.Ops[0].Value, 0)
	require.True(t, entry.Ops[1].Remove)
	require.Equal(t, "Completed updating default config for ips in the cluster.\n", run("--alter --ip-defaults --add-config connection_creation_rate=5"))
	require.Nil(t, b.asked(49)[1].(*kmsg.AlterClientQuotasRequest).Entries[0].Entity[0].Name)
	require.Equal(t, "2> Cannot parse quota configuration value for producer_byte_rate: abc\n(exit 1)\n", run("--alter --client c --add-config producer_byte_rate=abc"))
	require.Equal(t, "2> Invalid config(s): consumer_byte_rate\n(exit 1)\n", run("--alter --client c --delete-config consumer_byte_rate"))

	require.Equal(t, "Completed updating config for user u.\n", run("--alter --user u --add-config SCRAM-SHA-256=[iterations=8192,password=secret] --delete-config SCRAM-SHA-512"))
	req := b.asked(51)[0].(*kmsg.AlterUserSCRAMCredentialsRequest)
	require.EqualValues(t, 2, req.Deletions[0].Mechanism)
	made, err := scramByName("SCRAM-SHA-256").credentialWithSalt("secret", req.Upsertions[0].Salt, 8192)
	require.NoError(t, err)
	require.Equal(t, made.saltedPassword, req.Upsertions[0].SaltedPassword)

	b.versions[48] = versionRange{0, -1}
	require.Contains(t, run("--describe --client c"), "2> java.util.concurrent.ExecutionException: "+commonErrors+"UnsupportedVersionException: "+
		"The broker does not support DESCRIBE_CLIENT_QUOTAS\n")
}

// The tool's own limit of 30 seconds comes before that of the client.
func TestConfigsTakeTheToolsTimeLimit(t *testing.T) {
	b := newWireBroker(t)
	s := &bootstrapConfigs{client: newTestClient(t, b.addr, nil)}
	_, err := s.within(context.Background(), 0, func(ctx context.Context) (kmsg.Response, error) { return nil, ctx.Err() })
	require.Equal(t, "java.util.concurrent.TimeoutException\n", trace(err))
}

// The example of RFC 7677, as PostgreSQL's documentation and others repeat it.
func TestScramCredential(t *testing.T) {
	m := scramByName("SCRAM-SHA-256")
	c, err := m.credentialWithSalt("pencil", []byte("\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81"), 4096)
	require.NoError(t, err)
	require.Equal(t, "salt=W22ZaJ0SNY7soEsUEjb6gQ==,stored_key=WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"+
		"server_key=wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=,iterations=4096", c.String())
	one, err := m.credential("x", 4096)
	require.NoError(t, err)
	two, err := m.credential("x", 4096)
	require.NoError(t, err)
	require.NotEqual(t, one.salt, two.salt)
	for text, want := range map[string]struct {
		iterations int32
		password   string
		err        string
	}{
		"password=a,b=c":                    {4096, "a,b=c", ""},
		"iterations=8192,password=":         {8192, "", ""},
		"iterations=-1,password=p":          {4096, "p", ""},
		"iterations=,password=p":            {4096, "p", ""},
		"iterations=8192":                   {0, "", "Invalid credential property SCRAM_SHA_256=iterations=8192"},
		"iterations=4095,password=p":        {0, "", "Iterations 4095 is less than the minimum 4096 required for SCRAM-SHA-256"},
		"iterations=99999999999,password=p": {0, "", `For input string: "99999999999"`},
	} {
		iterations, password, err := m.parse(text, m.name)
		if want.err != "" {
			require.EqualError(t, err, want.err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, want.iterations, iterations)
		require.Equal(t, want.password, password)
	}
	require.Nil(t, scramByName("PLAIN"))
	require.Equal(t, "UNKNOWN", scramByNumber(9).name)
}
