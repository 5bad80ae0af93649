package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/cli/jopt"
	"gregor/pkg/protocol"
)

var _ = register("kafka-broker-api-versions", kafkaBrokerAPIVersions)

// apiVersionsOptions are the options of kafka-broker-api-versions.sh.
type apiVersionsOptions struct {
	parser                   *jopt.Parser
	bootstrap, commandConfig *jopt.Option
}

func newAPIVersionsOptions() *apiVersionsOptions {
	p := jopt.New()
	return &apiVersionsOptions{
		parser: p,
		commandConfig: p.Accepts("command-config", "A file with settings of the admin client.").
			RequiredArg("command config property file"),
		bootstrap: p.Accepts("bootstrap-server", "REQUIRED: brokers to ask first.").RequiredArg("server(s) to use for bootstrapping"),
	}
}

// kafkaBrokerAPIVersions is kafka-broker-api-versions.sh of 2.8: it shows for
// every broker the requests that it serves, in which versions.
func kafkaBrokerAPIVersions(ctx context.Context, env *Env, args []string) int {
	o := newAPIVersionsOptions()
	set, err := o.parser.Parse(args)
	if err != nil {
		return optionFailure(env, o.parser, err)
	}
	if status, done := helpOrVersion(env, o.parser, set, "This tool helps to retrieve broker version information."); done {
		return status
	}
	if err := set.Require(o.bootstrap); err != nil {
		return optionFailure(env, o.parser, err)
	}
	servers, file := set.String(o.bootstrap), set.String(o.commandConfig)
	if err := set.Err(); err != nil {
		return uncaught(env, err)
	}
	properties, err := readClientProperties(file)
	if err != nil {
		return uncaught(env, err)
	}
	if err := showAPIVersions(ctx, env, servers, properties); err != nil {
		return uncaught(env, err)
	}
	return 0
}

func showAPIVersions(ctx context.Context, env *Env, servers string, properties map[string]string) error {
	loggers := toolLoggers(env)
	v, err := parseClientValues(loggers.Logger("org.apache.kafka.clients.admin.AdminClientConfig"), nil, properties)
	if err != nil {
		return err
	}
	network, options, err := commonOptions(ctx, loggers, v, servers, "LegacyAdminClient clientId=admin-1", "admin-1")
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(append(options, kgo.RequestRetries(0))...)
	if err != nil {
		return exceptionf(configException, "%s", err)
	}
	defer client.Close()
	brokers, err := findBrokers(ctx, client, network, v.ms("request.timeout.ms"))
	if err != nil {
		return err
	}
	for _, b := range brokers {
		fmt.Fprintf(env.Stdout, "%s -> ", brokerName(b))
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = "gregor", "2.8.2"
		asking, cancel := context.WithTimeout(ctx, v.ms("request.timeout.ms"))
		resp, err := client.Broker(int(b.NodeID)).Request(asking, req)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			err = exceptionf("java.lang.RuntimeException", "Request API_VERSIONS failed on brokers List(%s)", brokerName(b))
		}
		if err == nil {
			err = protocolError(resp.(*kmsg.ApiVersionsResponse).ErrorCode, nil)
		}
		if err != nil {
			fmt.Fprintln(env.Stdout, "ERROR: "+describe(err))
			continue
		}
		fmt.Fprintln(env.Stdout, apiVersionsText(resp.(*kmsg.ApiVersionsResponse).ApiKeys))
	}
	return nil
}

// metadataTries is how often the addresses of --bootstrap-server are tried.
const metadataTries = 3

// findBrokers asks for the brokers, of which one that accepts and never answers
// costs the request time-out.
func findBrokers(ctx context.Context, client *kgo.Client, network *networkClient, timeout time.Duration) ([]kmsg.MetadataResponseBroker, error) {
	nodes, silent := network.nodes, 0
	for range metadataTries * len(nodes) {
		req := kmsg.NewPtrMetadataRequest()
		req.Topics = []kmsg.MetadataRequestTopic{}
		asking, cancel := context.WithTimeout(ctx, timeout)
		resp, err := req.RequestWith(asking, client)
		expired := asking.Err() != nil
		cancel()
		if err == nil && len(resp.Brokers) > 0 {
			slices.SortFunc(resp.Brokers, func(a, b kmsg.MetadataResponseBroker) int { return cmp.Compare(a.NodeID, b.NodeID) })
			return resp.Brokers, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if expired {
			if silent++; silent >= len(nodes) {
				break
			}
		}
	}
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = fmt.Sprintf("%s (id: %d rack: null)", n.key(), n.id)
	}
	return nil, exceptionf("java.lang.RuntimeException", "Request METADATA failed on brokers List(%s)", strings.Join(names, ", "))
}

// brokerName is a broker as Java prints a Node.
func brokerName(b kmsg.MetadataResponseBroker) string {
	rack := "null"
	if b.Rack != nil {
		rack = *b.Rack
	}
	return fmt.Sprintf("%s:%d (id: %d rack: %s)", b.Host, b.Port, b.NodeID, rack)
}

// otherAPIs are the requests that 2.8 knows but that no broker with ZooKeeper
// serves; of each it knows version 0.
var otherAPIs = map[int16]string{52: "VOTE", 53: "BEGIN_QUORUM_EPOCH", 54: "END_QUORUM_EPOCH", 55: "DESCRIBE_QUORUM", 58: "ENVELOPE",
	59: "FETCH_SNAPSHOT", 62: "BROKER_REGISTRATION", 63: "BROKER_HEARTBEAT", 64: "UNREGISTER_BROKER"}

// apiVersionsText lists what a broker serves, and what of 2.8's requests it
// does not.
func apiVersionsText(keys []kmsg.ApiVersionsResponseApiKey) string {
	lines := map[int16]string{}
	for _, k := range keys {
		lines[k.ApiKey] = apiVersionText(k)
	}
	for _, api := range protocol.All() {
		if _, ok := lines[api.Key]; !ok {
			lines[api.Key] = fmt.Sprintf("%s(%d): UNSUPPORTED", camelCase(api.Name), api.Key)
		}
	}
	ordered := make([]string, 0, len(lines))
	for _, key := range sortedAPIs(lines) {
		ordered = append(ordered, "\t"+lines[key])
	}
	return "(\n" + strings.Join(ordered, ",\n") + "\n)"
}

func sortedAPIs(lines map[int16]string) []int16 {
	keys := make([]int16, 0, len(lines))
	for key := range lines {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func apiVersionText(k kmsg.ApiVersionsResponseApiKey) string {
	versions := fmt.Sprint(k.MinVersion)
	if k.MinVersion != k.MaxVersion {
		versions = fmt.Sprintf("%d to %d", k.MinVersion, k.MaxVersion)
	}
	api, known := protocol.Lookup(k.ApiKey)
	if !known {
		if api.Name, known = otherAPIs[k.ApiKey]; !known {
			return fmt.Sprintf("UNKNOWN(%d): %s", k.ApiKey, versions)
		}
	}
	text := fmt.Sprintf("%s(%d): %s", camelCase(api.Name), k.ApiKey, versions)
	switch {
	case api.Max < k.MinVersion:
		return text + " [unusable: node too new]"
	case k.MaxVersion < api.Min:
		return text + " [unusable: node too old]"
	}
	return fmt.Sprintf("%s [usable: %d]", text, min(api.Max, k.MaxVersion))
}

// camelCase makes LIST_OFFSETS ListOffsets.
func camelCase(name string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(name, "_") {
		b.WriteString(word[:1] + strings.ToLower(word[1:]))
	}
	return b.String()
}
