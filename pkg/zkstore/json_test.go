package zkstore

import (
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/model"
)

func ptr[T any](v T) *T { return &v }

func topicID(t testing.TB, text string) model.TopicID {
	id, err := model.ParseTopicID(text)
	require.NoError(t, err)
	return id
}

// What a 2.8.2 broker writes, key by key; the order of keys is that of its
// own output.
func TestWrittenJSON(t *testing.T) {
	rack := "r0"
	plain := model.Endpoint{Listener: "PLAINTEXT", Host: "h", Port: 9092}
	ssl := model.Endpoint{Listener: "SECURE", SecurityProtocol: model.SSL, Host: "::1", Port: 9093}
	broker := func(version int, rack *string, endpoints ...model.Endpoint) BrokerInfo {
		return BrokerInfo{Broker: model.Broker{ID: 0, Rack: rack, Endpoints: endpoints}, JMXPort: -1, Version: version, Timestamp: 1795145820175}
	}
	tp := model.TopicPartition{Topic: "t", Partition: 1}
	for _, row := range []struct {
		name string
		got  []byte
		want string
	}{
		{"broker 5", encodeBroker(broker(5, nil, plain)),
			`{"features":{},"listener_security_protocol_map":{"PLAINTEXT":"PLAINTEXT"},"endpoints":["PLAINTEXT://h:9092"],"jmx_port":-1,"port":9092,"host":"h","version":5,"timestamp":"1795145820175"}`},
		{"broker by default", encodeBroker(broker(0, &rack, plain)),
			`{"features":{},"listener_security_protocol_map":{"PLAINTEXT":"PLAINTEXT"},"endpoints":["PLAINTEXT://h:9092"],"rack":"r0","jmx_port":-1,"port":9092,"host":"h","version":5,"timestamp":"1795145820175"}`},
		{"broker 4 without plaintext", encodeBroker(broker(4, nil, ssl)),
			`{"listener_security_protocol_map":{"SECURE":"SSL"},"endpoints":["SECURE://[::1]:9093"],"jmx_port":-1,"port":-1,"host":null,"version":4,"timestamp":"1795145820175"}`},
		{"broker 2 has no rack", encodeBroker(broker(2, &rack, plain)),
			`{"endpoints":["PLAINTEXT://h:9092"],"jmx_port":-1,"port":9092,"host":"h","version":2,"timestamp":"1795145820175"}`},
		{"controller", encodeController(1, 1795145783332), `{"version":1,"brokerid":1,"timestamp":"1795145783332"}`},
		{"cluster id", encodeClusterID("abc_-"), `{"version":"1","id":"abc_-"}`},
		{"topic", encodeTopic(TopicAssignment{ID: topicID(t, "ZFij0UVNTu2aqxyHJ1fGig"), Partitions: map[int32]ReplicaAssignment{
			0: {Replicas: []model.BrokerID{1, 0}}, 10: {Replicas: []model.BrokerID{0}}}}),
			`{"partitions":{"0":[1,0],"10":[0]},"topic_id":"ZFij0UVNTu2aqxyHJ1fGig","adding_replicas":{},"removing_replicas":{},"version":3}`},
		{"topic in reassignment, no id", encodeTopic(TopicAssignment{Partitions: map[int32]ReplicaAssignment{
			0: {Replicas: []model.BrokerID{1, 0}, Adding: []model.BrokerID{1}, Removing: []model.BrokerID{0}}}}),
			`{"partitions":{"0":[1,0]},"adding_replicas":{"0":[1]},"removing_replicas":{"0":[0]},"version":3}`},
		{"state", encodePartitionState(PartitionState{Leader: 0, LeaderEpoch: 2, ISR: []model.BrokerID{0, 1}, ControllerEpoch: 1}),
			`{"controller_epoch":1,"leader":0,"version":1,"leader_epoch":2,"isr":[0,1]}`},
		{"state without leader", encodePartitionState(PartitionState{Leader: model.NoBroker}),
			`{"controller_epoch":0,"leader":-1,"version":1,"leader_epoch":0,"isr":[]}`},
		{"config", encodeConfig(map[string]string{"segment.bytes": "20000", "a": "<&>"}),
			`{"version":1,"config":{"a":"<&>","segment.bytes":"20000"}}`},
		{"config empty", encodeConfig(nil), `{"version":1,"config":{}}`},
		{"config change", encodeConfigChange(EntityUsers, "us%20er"), `{"version":2,"entity_path":"users/us%20er"}`},
		{"isr change", encodePartitions([]model.TopicPartition{tp}), `{"version":1,"partitions":[{"topic":"t","partition":1}]}`},
		{"preferred election of nothing", encodePartitions(nil), `{"version":1,"partitions":[]}`},
		{"log dir event", encodeLogDirEvent(2), `{"version":1,"broker":2,"event":1}`},
		{"reassignment", encodeReassign(map[model.TopicPartition][]model.BrokerID{tp: {1, 2}}),
			`{"version":1,"partitions":[{"topic":"t","partition":1,"replicas":[1,2]}]}`},
		{"feature", encodeFeature(FeatureNode{Status: FeaturesEnabled}), `{"features":{},"version":1,"status":1}`},
		{"features", encodeFeature(FeatureNode{Features: map[string]FeatureRange{"f": {1, 3}}}),
			`{"features":{"f":{"min_version_level":1,"max_version_level":3}},"version":1,"status":0}`},
		{"producer ids", encodeProducerIDBlock(ProducerIDBlock{Broker: 0, Start: 1000, End: 1999}),
			`{"version":1,"broker":0,"block_start":"1000","block_end":"1999"}`},
	} {
		t.Run(row.name, func(t *testing.T) { require.Equal(t, row.want, string(row.got)) })
	}
}

func TestReadBrokers(t *testing.T) {
	at := func(listener string, protocol model.SecurityProtocol, host string, port int32) model.Endpoint {
		return model.Endpoint{Listener: listener, SecurityProtocol: protocol, Host: host, Port: port}
	}
	for _, row := range []struct {
		name, json string
		want       BrokerInfo
	}{
		{"1", `{"jmx_port":9999,"timestamp":"5","host":"h","version":1,"port":9092}`,
			BrokerInfo{JMXPort: 9999, Version: 1, Timestamp: 5, Broker: model.Broker{Endpoints: []model.Endpoint{at("PLAINTEXT", 0, "h", 9092)}}}},
		{"2", `{"jmx_port":-1,"timestamp":5,"endpoints":["PLAINTEXT://h:9092","SSL://[::1]:9093"],"host":"h","version":2,"port":9092}`,
			BrokerInfo{JMXPort: -1, Version: 2, Timestamp: 5, Broker: model.Broker{Endpoints: []model.Endpoint{at("PLAINTEXT", 0, "h", 9092), at("SSL", model.SSL, "::1", 9093)}}}},
		{"3", `{"endpoints":["SASL_SSL://h:1"],"host":null,"version":3,"port":-1,"rack":"r","timestamp":"7"}`,
			BrokerInfo{JMXPort: -1, Version: 3, Timestamp: 7, Broker: model.Broker{Rack: ptr("r"), Endpoints: []model.Endpoint{at("SASL_SSL", model.SASLSSL, "h", 1)}}}},
		{"4", `{"listener_security_protocol_map":{"IN":"PLAINTEXT","OUT":"SASL_PLAINTEXT"},"endpoints":["IN://h:1","OUT://:2"],"jmx_port":-1,"host":"h","timestamp":"1","port":1,"version":4}`,
			BrokerInfo{JMXPort: -1, Version: 4, Timestamp: 1, Broker: model.Broker{Endpoints: []model.Endpoint{at("IN", 0, "h", 1), at("OUT", model.SASLPlaintext, "", 2)}}}},
		{"5", `{"features":{"f":{"min_version":1,"max_version":2}},"listener_security_protocol_map":{"PLAINTEXT":"PLAINTEXT"},"endpoints":["PLAINTEXT://h:1"],"jmx_port":-1,"port":1,"host":"h","version":5,"timestamp":"1","unknown":[1]}`,
			BrokerInfo{JMXPort: -1, Version: 5, Timestamp: 1, Features: map[string]FeatureRange{"f": {1, 2}}, Broker: model.Broker{Endpoints: []model.Endpoint{at("PLAINTEXT", 0, "h", 1)}}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := decodeBroker(7, []byte(row.json))
			require.NoError(t, err)
			row.want.ID, row.want.Epoch = 7, model.NoBrokerEpoch
			require.Equal(t, row.want, got)
		})
	}
}

func TestReadTopics(t *testing.T) {
	one := map[int32]ReplicaAssignment{0: {Replicas: []model.BrokerID{1, 2}}}
	for _, row := range []struct {
		name, json string
		want       TopicAssignment
	}{
		{"1", `{"version":1,"partitions":{"0":[1,2]}}`, TopicAssignment{Partitions: one}},
		{"2", `{"version":2,"partitions":{"0":[1,2]},"adding_replicas":{},"removing_replicas":{}}`, TopicAssignment{Partitions: one}},
		{"2 in reassignment", `{"version":2,"partitions":{"0":[1,2]},"adding_replicas":{"0":[1]},"removing_replicas":{"0":[2]}}`,
			TopicAssignment{Partitions: map[int32]ReplicaAssignment{0: {Replicas: []model.BrokerID{1, 2}, Adding: []model.BrokerID{1}, Removing: []model.BrokerID{2}}}}},
		{"3", `{"removing_replicas":{},"partitions":{"0":[1,2]},"topic_id":"ZFij0UVNTu2aqxyHJ1fGig","adding_replicas":{},"version":3}`,
			TopicAssignment{ID: topicID(t, "ZFij0UVNTu2aqxyHJ1fGig"), Partitions: one}},
		{"without version, by hand", `{"partitions":{"0":[1,2]}}`, TopicAssignment{Partitions: one}},
		{"no partitions", `{"version":1,"partitions":{}}`, TopicAssignment{Partitions: map[int32]ReplicaAssignment{}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := decodeTopic("t", []byte(row.json))
			require.NoError(t, err)
			require.Equal(t, row.want, got)
		})
	}
}

func TestReadOthers(t *testing.T) {
	id, err := decodeController([]byte(`{"version":2,"brokerid":3,"timestamp":"1","kraftControllerEpoch":-1}`))
	require.NoError(t, err)
	require.Equal(t, model.BrokerID(3), id)

	cluster, err := decodeClusterID([]byte(`{"version":"1","id":"x"}`))
	require.NoError(t, err)
	require.Equal(t, "x", cluster)

	kind, name, err := decodeConfigChange("/p", []byte(`{"version":1,"entity_type":"topics","entity_name":"t"}`))
	require.NoError(t, err)
	require.Equal(t, []string{"topics", "t"}, []string{kind, name})
	kind, name, err = decodeConfigChange("/p", []byte(`{"version":2,"entity_path":"users/u/clients/c"}`))
	require.NoError(t, err)
	require.Equal(t, []string{"users", "u/clients/c"}, []string{kind, name})

	feature, err := decodeFeature([]byte(`{"version":2,"status":1,"features":{"f":{"max_version_level":3}}}`))
	require.NoError(t, err)
	require.Equal(t, FeatureNode{Status: FeaturesEnabled, Features: map[string]FeatureRange{"f": {0, 3}}}, feature)

	block, err := decodeProducerIDBlock([]byte(`{"version":1,"broker":1,"block_start":"0","block_end":"999"}`))
	require.NoError(t, err)
	require.Equal(t, ProducerIDBlock{1, 0, 999}, block)

	config, err := decodeConfig("/p", nil)
	require.NoError(t, err)
	require.Empty(t, config)

	state, err := decodePartitionState(model.TopicPartition{Topic: "t"}, []byte(`{"controller_epoch":4,"leader":-1,"version":1,"leader_epoch":3,"isr":[2],"leader_recovery_state":1}`))
	require.NoError(t, err)
	require.Equal(t, PartitionState{Leader: -1, LeaderEpoch: 3, ISR: []model.BrokerID{2}, ControllerEpoch: 4}, state)
}

// decoders are all readers of znodes, each with the path that its errors must
// name and contents that it must take.
var decoders = []struct {
	name, path string
	decode     func(data []byte) error
	good       []string
}{
	{"broker", BrokerPath(1), func(b []byte) error { _, err := decodeBroker(1, b); return err }, []string{
		`{"version":1,"host":"h","port":1}`,
		`{"listener_security_protocol_map":{"IN":"PLAINTEXT"},"endpoints":["IN://h:1"],"version":5,"timestamp":"1"}`}},
	{"controller", ControllerPath, func(b []byte) error { _, err := decodeController(b); return err }, []string{`{"version":1,"brokerid":1,"timestamp":"1"}`}},
	{"cluster id", ClusterIDPath, func(b []byte) error { _, err := decodeClusterID(b); return err }, []string{`{"version":"1","id":"x"}`}},
	{"topic", TopicPath("t"), func(b []byte) error { _, err := decodeTopic("t", b); return err }, []string{
		`{"version":1,"partitions":{"0":[1]}}`, `{"partitions":{"0":[1]},"topic_id":"ZFij0UVNTu2aqxyHJ1fGig","adding_replicas":{},"removing_replicas":{},"version":3}`}},
	{"state", PartitionStatePath(model.TopicPartition{Topic: "t"}), func(b []byte) error {
		_, err := decodePartitionState(model.TopicPartition{Topic: "t"}, b)
		return err
	}, []string{`{"controller_epoch":1,"leader":0,"version":1,"leader_epoch":2,"isr":[0,1]}`}},
	{"config", "/config/topics/t", func(b []byte) error {
		if len(b) == 0 {
			return badData("/config/topics/t", "an empty node is no error here")
		}
		_, err := decodeConfig("/config/topics/t", b)
		return err
	}, []string{`{"version":1,"config":{"a":"b"}}`}},
	{"config change", "/config/changes/config_change_1", func(b []byte) error {
		_, _, err := decodeConfigChange("/config/changes/config_change_1", b)
		return err
	}, []string{`{"version":2,"entity_path":"topics/t"}`, `{"version":1,"entity_type":"clients","entity_name":"c"}`}},
	{"partitions", PreferredElectionPath, func(b []byte) error { _, err := decodePartitions(PreferredElectionPath, b); return err }, []string{`{"version":1,"partitions":[{"topic":"t","partition":1}]}`}},
	{"reassignment", ReassignPath, func(b []byte) error { _, err := decodeReassign(b); return err }, []string{`{"version":1,"partitions":[{"topic":"t","partition":1,"replicas":[1]}]}`}},
	{"log dir event", LogDirEventsPath + "/x", func(b []byte) error { _, err := decodeLogDirEvent(LogDirEventsPath+"/x", b); return err }, []string{`{"version":1,"broker":2,"event":1}`}},
	{"feature", FeaturePath, func(b []byte) error { _, err := decodeFeature(b); return err }, []string{`{"features":{"f":{"min_version_level":1,"max_version_level":2}},"version":1,"status":1}`}},
	{"producer ids", ProducerIDBlockPath, func(b []byte) error { _, err := decodeProducerIDBlock(b); return err }, []string{`{"version":1,"broker":0,"block_start":"0","block_end":"999"}`}},
	{"offset", "/consumers/g/offsets/t/0", func(b []byte) error { _, err := decodeOffset("/consumers/g/offsets/t/0", b); return err }, []string{`42`, `-1`}},
}

func TestWrongContentNamesThePath(t *testing.T) {
	wrong := []string{
		``, ` `, `{`, `null`, `[]`, `"x"`, `{}`, `nonsense`, "\x00\xff", `{"version":1}`, `{"version":9,"x":1}`,
		`{"version":"x"}`, `{"brokerid":99999999999}`, `{"version":1,"partitions":null}`, `{"version":1,"partitions":[{}]}`,
		`{"version":1,"partitions":{"x":[1]}}`, `{"partitions":{"0":[1],"00":[2]}}`, `{"partitions":{"0":["a"]}}`, `{"partitions":{"-1":[0]}}`,
		`{"partitions":{},"topic_id":"short"}`, `{"version":5,"endpoints":["h:1"]}`, `{"version":5,"endpoints":["IN://h:1"]}`,
		`{"version":5,"endpoints":["PLAINTEXT://h:99999"]}`, `{"version":0,"host":"h","port":1}`, `{"version":1,"config":{"a":1}}`,
		`{"version":1,"config":null}`, `{"version":2,"config":{}}`, `{"version":2,"entity_path":"topics"}`, `{"version":2,"entity_path":"/t"}`,
		`{"version":1,"entity_type":"users","entity_name":"u"}`, `{"version":1,"broker":0,"block_start":"9","block_end":"1"}`,
		`{"version":1,"status":7,"features":{}}`, `{"version":1,"status":1,"features":{"f":{}}}`,
		`{"leader":0,"leader_epoch":0,"controller_epoch":0,"isr":null}`, `{"leader":0,"leader_epoch":0,"isr":[0]}`,
		`{"partitions":[{"topic":"t","partition":-1}]}`, `{"partitions":[{"topic":"","partition":1}]}`, `{"partitions":[{"topic":"t","partition":1,"replicas":[1.5]}]}`,
		`12x`, `99999999999999999999`,
	}
	for _, d := range decoders {
		t.Run(d.name, func(t *testing.T) {
			for _, good := range d.good {
				require.NoError(t, d.decode([]byte(good)), good)
			}
			failures := 0
			for _, text := range wrong {
				if err := d.decode([]byte(text)); err != nil {
					require.ErrorIs(t, err, ErrBadData, text)
					require.ErrorContains(t, err, d.path)
					failures++
				}
			}
			require.Greater(t, failures, len(wrong)/2, "most of these are wrong for every znode")
		})
	}
}

// FuzzZnodes feeds every reader; an error is ErrBadData and names the path.
func FuzzZnodes(f *testing.F) {
	for _, d := range decoders {
		for _, good := range d.good {
			f.Add([]byte(good))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, d := range decoders {
			if err := d.decode(data); err != nil {
				require.ErrorIs(t, err, ErrBadData)
				require.ErrorContains(t, err, d.path)
			}
		}
	})
}

// FuzzTopicRoundTrip: what is read, written and read again stays the same.
func FuzzTopicRoundTrip(f *testing.F) {
	f.Add([]byte(`{"partitions":{"0":[1],"7":[]},"topic_id":"ZFij0UVNTu2aqxyHJ1fGig","adding_replicas":{"0":[1]},"removing_replicas":{},"version":3}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := decodeTopic("t", data)
		if err != nil {
			return
		}
		text := encodeTopic(first)
		second, err := decodeTopic("t", text)
		require.NoError(t, err)
		require.Equal(t, string(text), string(encodeTopic(second)))
	})
}
