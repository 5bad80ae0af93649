package api

import (
	"context"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/admin"
	"gregor/pkg/config"
	"gregor/pkg/kerr"
	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/wire"
)

// configMemory is ZooKeeper as far as configurations need it; a broker's
// settings are in force at once.
type configMemory struct {
	broker   *admin.BrokerConfig
	settings map[string]map[string]string
}

func (m *configMemory) FetchEntityConfig(_ context.Context, entityType, name string) (map[string]string, error) {
	return maps.Clone(m.settings[entityType+"/"+name]), nil
}

func (m *configMemory) ChangeTopicConfig(_ context.Context, topic string, settings map[string]string) error {
	m.settings["topics/"+topic] = settings
	return nil
}

func (m *configMemory) ChangeBrokerConfig(_ context.Context, id model.BrokerID, settings map[string]string) error {
	m.settings["brokers/"+id.String()] = settings
	m.broker.Apply(id.String(), settings)
	return nil
}

func (m *configMemory) ChangeDefaultBrokerConfig(_ context.Context, settings map[string]string) error {
	m.settings["brokers/"+admin.DefaultEntity] = settings
	m.broker.Apply(admin.DefaultEntity, settings)
	return nil
}

func newConfigs(t *testing.T, loggers *logging.Loggers) (*Configs, *admin.BrokerConfig) {
	p, err := config.ParseProperties("server.properties", []byte("listeners=PLAINTEXT://127.0.0.1:9092\nlog.dirs=/data\nzookeeper.connect=127.0.0.1:2181\n"+
		"broker.id=0\nlog.segment.bytes=1073741824\nlog.retention.hours=168\nmy.own.key=5\n"))
	require.NoError(t, err)
	file, _, err := config.ParseBroker(p, nil)
	require.NoError(t, err)
	broker := admin.NewBrokerConfig(0, file, loggers)
	memory := &configMemory{broker: broker, settings: map[string]map[string]string{}}
	exists := func(topic string) bool { return topic == "t" }
	return &Configs{Admin: admin.NewConfigs(broker, memory, exists, loggers)}, broker
}

// TestConfigsAsKafkaAnswers replays testdata/configs.txt.
func TestConfigsAsKafkaAnswers(t *testing.T) {
	loggers := logging.New(discard{})
	loggers.Logger("kafka.server.KafkaServer")
	h, _ := newConfigs(t, loggers)
	text, err := os.ReadFile("testdata/configs.txt")
	require.NoError(t, err)
	for _, block := range strings.Split(string(text), "\n## ")[1:] {
		command, want, _ := strings.Cut(block, "\n")
		if _, ours, differs := strings.Cut(want, "-> gregor:\n"); differs {
			want = ours
		}
		t.Run(command, func(t *testing.T) {
			require.Equal(t, strings.TrimRight(want, "\n"), strings.TrimRight(askConfigs(t, h, command), "\n"))
		})
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// askConfigs sends one command through the encoding of each version of its API and
// writes the last answer down.
func askConfigs(t *testing.T, h *Configs, command string) string {
	router := NewRouter()
	h.Register(router)
	words := strings.Split(command, "|")
	kind := map[string]kmsg.ConfigResourceType{"T": 2, "B": 4, "L": 8, "X": 1, "C": 16}[words[1]]
	var req kmsg.Request
	switch words[0] {
	case "desc":
		req = describeRequest(kind, words)
	case "alter":
		req = alterRequest(kind, words)
	default:
		req = incrementalRequest(kind, words)
	}
	req.SetVersion(map[string]int16{"desc": 4, "alter": 2, "inc": 1}[words[0]])
	resp := req.ResponseKind()
	roundTrip(t, router, req, resp)
	return showAnswer(resp)
}

// roundTrip sends a request through the router and decodes the answer.
func roundTrip(t *testing.T, router *Router, req kmsg.Request, resp kmsg.Response) {
	t.Helper()
	resp.SetVersion(req.GetVersion())
	answer := router.Answer(t.Context(), &wire.Request{Header: wire.Header{Key: req.Key(), Version: req.GetVersion()}, Body: req.AppendTo(nil)})
	require.False(t, answer.Close)
	require.NoError(t, resp.ReadFrom(answer.Chunks[0].Bytes))
}

func describeRequest(kind kmsg.ConfigResourceType, words []string) kmsg.Request {
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.IncludeSynonyms = true
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, words[2]
	if len(words) > 3 {
		r.ConfigNames = strings.Split(words[3], ",")
	}
	req.Resources = append(req.Resources, r)
	return req
}

func alterRequest(kind kmsg.ConfigResourceType, words []string) kmsg.Request {
	req := kmsg.NewPtrAlterConfigsRequest()
	r := kmsg.NewAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, words[2]
	for _, word := range words[3:] {
		if word == "!validate" {
			req.ValidateOnly = true
			continue
		}
		c := kmsg.NewAlterConfigsRequestResourceConfig()
		c.Name, c.Value = setting(word)
		r.Configs = append(r.Configs, c)
	}
	req.Resources = append(req.Resources, r)
	return req
}

func incrementalRequest(kind kmsg.ConfigResourceType, words []string) kmsg.Request {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, words[2]
	for _, word := range words[3:] {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Op = map[byte]kmsg.IncrementalAlterConfigOp{'=': 0, '-': 1, '+': 2, '/': 3, '?': 7}[word[0]]
		c.Name, c.Value = setting(word[1:])
		r.Configs = append(r.Configs, c)
	}
	req.Resources = append(req.Resources, r)
	return req
}

func setting(word string) (string, *string) {
	name, value, given := strings.Cut(word, "=")
	if !given {
		return name, nil
	}
	return name, &value
}

func showText(s *string) string {
	if s == nil {
		return "<nil>"
	}
	return *s
}

func showAnswer(resp kmsg.Response) string {
	var b strings.Builder
	switch resp := resp.(type) {
	case *kmsg.DescribeConfigsResponse:
		for _, r := range resp.Resources {
			fmt.Fprintln(&b, "code", r.ErrorCode, "msg", showText(r.ErrorMessage), "type", r.ResourceType, "name", r.ResourceName, "n", len(r.Configs))
			for _, c := range r.Configs {
				fmt.Fprintf(&b, "%s=%s src=%d ro=%v sens=%v type=%d syn=[", c.Name, showText(c.Value), c.Source, c.ReadOnly, c.IsSensitive, c.ConfigType)
				for _, s := range c.ConfigSynonyms {
					fmt.Fprintf(&b, "%d:%s=%s ", s.Source, s.Name, showText(s.Value))
				}
				fmt.Fprintln(&b, "]")
			}
		}
	case *kmsg.AlterConfigsResponse:
		for _, r := range resp.Resources {
			fmt.Fprintln(&b, "code", r.ErrorCode, "msg", showText(r.ErrorMessage), "type", r.ResourceType, "name", r.ResourceName)
		}
	case *kmsg.IncrementalAlterConfigsResponse:
		for _, r := range resp.Resources {
			fmt.Fprintln(&b, "code", r.ErrorCode, "msg", showText(r.ErrorMessage), "type", r.ResourceType, "name", r.ResourceName)
		}
	}
	return b.String()
}

// TestDescribeConfigsVersions looks at what older versions cannot say.
func TestDescribeConfigsVersions(t *testing.T) {
	h, _ := newConfigs(t, logging.Discard())
	router := NewRouter()
	h.Register(router)
	for version := range int16(5) {
		req := describeRequest(2, []string{"desc", "T", "t", "segment.bytes,flush.messages"}).(*kmsg.DescribeConfigsRequest)
		req.IncludeDocumentation = true
		req.SetVersion(version)
		resp := kmsg.NewPtrDescribeConfigsResponse()
		roundTrip(t, router, req, resp)
		require.Zero(t, resp.Resources[0].ErrorCode)
		require.Len(t, resp.Resources[0].Configs, 2)
		segment, flush := resp.Resources[0].Configs[0], resp.Resources[0].Configs[1]
		require.Equal(t, "1073741824", *segment.Value)
		require.False(t, flush.IsDefault, "as in 2.8.2, in version 0 too")
		require.Equal(t, version >= 3, segment.Documentation != nil)
		if version >= 1 {
			require.Equal(t, kmsg.ConfigSourceStaticBrokerConfig, segment.Source)
			require.Len(t, segment.ConfigSynonyms, 2)
		}
	}
}

func TestAlterLevelsOfLoggers(t *testing.T) {
	loggers := logging.New(discard{})
	log := loggers.Logger("kafka.log.Log")
	h, _ := newConfigs(t, loggers)
	require.Contains(t, askConfigs(t, h, "inc|L|0|=kafka.log.Log=TRACE"), "code 0")
	require.Equal(t, "trace", log.Logger.GetLevel().String())
	require.Contains(t, askConfigs(t, h, "desc|L|0|kafka.log.Log"), "kafka.log.Log=TRACE src=6 ro=false")
	require.Contains(t, askConfigs(t, h, "inc|L|0|-kafka.log.Log"), "code 0")
	require.Equal(t, "info", log.Logger.GetLevel().String())
}

func TestBrokerChangeIsInForce(t *testing.T) {
	h, broker := newConfigs(t, logging.Discard())
	var was, is int64
	broker.OnChange(func(before, after *config.Broker) {
		was, is = before.Long("log.retention.bytes"), after.Long("log.retention.bytes")
	})
	require.Contains(t, askConfigs(t, h, "inc|B||=log.retention.bytes=1000"), "code 0")
	require.Equal(t, []int64{-1, 1000}, []int64{was, is})
	require.Contains(t, askConfigs(t, h, "inc|B|0|=log.retention.bytes=2000"), "code 0")
	require.EqualValues(t, 2000, broker.Current().Long("log.retention.bytes"))
	require.Contains(t, askConfigs(t, h, "inc|B|0|-log.retention.bytes"), "code 0")
	require.EqualValues(t, 1000, broker.Current().Long("log.retention.bytes"))
}

type failingAdmin struct{ ConfigAdmin }

func (failingAdmin) Alter(context.Context, admin.Resource, []admin.ConfigChange, bool) error {
	return fmt.Errorf("zookeeper: connection to 10.0.0.7 lost")
}

func TestUnexpectedErrorsTellNothing(t *testing.T) {
	h := &Configs{Admin: failingAdmin{}}
	require.Equal(t, fmt.Sprintf("code %d msg <nil> type TOPIC name t\n", kerr.UnknownServerError.Code), askConfigs(t, h, "alter|T|t|a=b"))
}
