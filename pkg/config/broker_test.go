package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/model"
)

// parse reads settings beside zookeeper.connect.
func parse(t testing.TB, settings ...string) *Broker {
	t.Helper()
	p, err := ParseProperties("server.properties", []byte("zookeeper.connect=localhost:2181\n"+strings.Join(settings, "\n")))
	require.NoError(t, err)
	b, _, err := ParseBroker(p, nil)
	require.NoError(t, err)
	return b
}

func TestTable(t *testing.T) {
	for _, table := range [][]Key{BrokerKeys, TopicKeys, onlyDynamic} {
		for i := range table {
			k := &table[i]
			require.Regexp(t, `^[A-Za-z:].*[.]$`, k.Doc, k.Name)
			require.NotPanics(t, func() { k.defaultValue() }, k.Name)
			require.NotEmpty(t, k.form(), k.Name)
		}
	}
	require.Len(t, BrokerKeys, 233+1, "Kafka's, and one of our own")
	require.Len(t, TopicKeys, 26)
	for i := range TopicKeys {
		if server := TopicKeys[i].Server; server != "" {
			require.NotNil(t, BrokerKey(server), server)
			require.Equal(t, BrokerKey(server).Type, TopicKeys[i].Type, server)
		}
	}
	for name := range removed {
		require.Nil(t, BrokerKey(name), name)
		require.Empty(t, newer[name], name)
	}
	for name := range newer {
		require.Nil(t, BrokerKey(name), name)
	}
}

func TestGetters(t *testing.T) {
	b := parse(t, "broker.id=7", "broker.rack= r1 ", "log.cleaner.min.cleanable.ratio=0.25", "log.dirs=/a, /b ,,/c",
		"log.cleanup.policy=compact,delete", "ssl.key.password= x ", "offsets.commit.required.acks=1", "log.preallocate=TRUE", "my.plugin=5 ")
	require.Equal(t, model.BrokerID(7), b.BrokerID())
	require.Equal(t, "r1", b.String("broker.rack"))
	require.Equal(t, "r1", *b.StringOrNil("broker.rack"))
	require.Nil(t, b.StringOrNil("listeners"))
	require.Equal(t, 0.25, b.Double("log.cleaner.min.cleanable.ratio"))
	require.Equal(t, []string{"/a", "/b", "/c"}, b.LogDirs())
	require.Equal(t, []string{"compact", "delete"}, b.List("log.cleanup.policy"))
	require.Equal(t, "x", b.Password("ssl.key.password"))
	require.Equal(t, int16(1), b.Short("offsets.commit.required.acks"))
	require.True(t, b.Bool("log.preallocate"))
	require.EqualValues(t, 1<<30, b.Long("log.segment.bytes"))
	require.False(t, b.IsSet("log.retention.ms"))
	text, ok := b.Original("my.plugin")
	require.True(t, ok)
	require.Equal(t, "5 ", text)
	require.Panics(t, func() { b.Int("no.such.key") })
	require.Panics(t, func() { b.IsSet("no.such.key") })
	require.PanicsWithValue(t, "setting broker.id is of type INT", func() { b.Bool("broker.id") })
	require.Equal(t, []string{"/tmp/kafka-logs"}, parse(t).LogDirs())
}

func TestDerivedTimes(t *testing.T) {
	for _, row := range []struct {
		settings []string
		get      func(*Broker) int64
		want     int64
	}{
		{nil, (*Broker).LogRetentionMs, 168 * 3600_000},
		{[]string{"log.retention.hours=1"}, (*Broker).LogRetentionMs, 3600_000},
		{[]string{"log.retention.minutes=5", "log.retention.hours=1"}, (*Broker).LogRetentionMs, 300_000},
		{[]string{"log.retention.minutes=5", "log.retention.ms=7"}, (*Broker).LogRetentionMs, 7},
		{[]string{"log.retention.ms=-7"}, (*Broker).LogRetentionMs, -1},
		{[]string{"log.retention.hours=-1"}, (*Broker).LogRetentionMs, -1},
		{[]string{"log.retention.hours=1000000"}, (*Broker).LogRetentionMs, 3600_000_000_000},
		{nil, (*Broker).LogRollMs, 168 * 3600_000},
		{[]string{"log.roll.ms=9"}, (*Broker).LogRollMs, 9},
		{[]string{"log.roll.jitter.hours=2"}, (*Broker).LogRollJitterMs, 7200_000},
		{[]string{"log.roll.jitter.hours=2", "log.roll.jitter.ms=3"}, (*Broker).LogRollJitterMs, 3},
		{nil, (*Broker).LogFlushIntervalMs, 1<<63 - 1},
		{[]string{"log.flush.scheduler.interval.ms=4"}, (*Broker).LogFlushIntervalMs, 4},
		{[]string{"log.flush.scheduler.interval.ms=4", "log.flush.interval.ms=5"}, (*Broker).LogFlushIntervalMs, 5},
		{nil, func(b *Broker) int64 { return int64(b.ZooKeeperConnectionTimeoutMs()) }, 18000},
		{[]string{"zookeeper.session.timeout.ms=6000"}, func(b *Broker) int64 { return int64(b.ZooKeeperConnectionTimeoutMs()) }, 6000},
		{[]string{"zookeeper.connection.timeout.ms=1"}, func(b *Broker) int64 { return int64(b.ZooKeeperConnectionTimeoutMs()) }, 1},
	} {
		t.Run(strings.Join(row.settings, ","), func(t *testing.T) {
			require.Equal(t, row.want, row.get(parse(t, row.settings...)))
		})
	}
}

func TestListeners(t *testing.T) {
	plain := func(name, host string, port int32) model.Endpoint {
		return model.Endpoint{Listener: name, Host: host, Port: port}
	}
	for name, row := range map[string]struct {
		settings          []string
		bound, advertised []model.Endpoint
		interBroker       string
	}{
		"nothing":   {nil, []model.Endpoint{plain("PLAINTEXT", "", 9092)}, []model.Endpoint{plain("PLAINTEXT", "", 9092)}, "PLAINTEXT"},
		"host.name": {[]string{"host.name=h", "port=9000"}, []model.Endpoint{plain("PLAINTEXT", "h", 9000)}, []model.Endpoint{plain("PLAINTEXT", "h", 9000)}, "PLAINTEXT"},
		"advertised.host.name": {[]string{"host.name=h", "advertised.host.name=a"},
			[]model.Endpoint{plain("PLAINTEXT", "h", 9092)}, []model.Endpoint{plain("PLAINTEXT", "a", 9092)}, "PLAINTEXT"},
		"advertised.port": {[]string{"advertised.port=1"}, []model.Endpoint{plain("PLAINTEXT", "", 9092)}, []model.Endpoint{plain("PLAINTEXT", "", 1)}, "PLAINTEXT"},
		"listeners beat host.name": {[]string{"host.name=h", "listeners=plaintext://x_y.z:1"},
			[]model.Endpoint{plain("PLAINTEXT", "x_y.z", 1)}, []model.Endpoint{plain("PLAINTEXT", "x_y.z", 1)}, "PLAINTEXT"},
		"ipv6": {[]string{"listeners=PLAINTEXT://[::1]:9092"}, []model.Endpoint{plain("PLAINTEXT", "::1", 9092)}, []model.Endpoint{plain("PLAINTEXT", "::1", 9092)}, "PLAINTEXT"},
		"two": {[]string{"listeners=INTERNAL://:1,EXTERNAL://0.0.0.0:2", "advertised.listeners=INTERNAL://a:1,EXTERNAL://b:1",
			"listener.security.protocol.map=INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT", "inter.broker.listener.name=internal"},
			[]model.Endpoint{plain("INTERNAL", "", 1), plain("EXTERNAL", "0.0.0.0", 2)}, []model.Endpoint{plain("INTERNAL", "a", 1), plain("EXTERNAL", "b", 1)}, "INTERNAL"},
	} {
		t.Run(name, func(t *testing.T) {
			b := parse(t, row.settings...)
			require.Equal(t, row.bound, b.Listeners())
			require.Equal(t, row.advertised, b.AdvertisedListeners())
			require.Equal(t, row.interBroker, b.InterBrokerListener())
		})
	}
}

func TestPerIPOverrides(t *testing.T) {
	b := parse(t, "max.connections.per.ip.overrides=127.0.0.1:3, ::1:4")
	require.Equal(t, map[string]int{"127.0.0.1": 3, "::1": 4}, b.MaxConnectionsPerIPOverrides())
}

func TestOverridesBeatTheFile(t *testing.T) {
	p := NewProperties(map[string]string{"zookeeper.connect": "a", "num.partitions": "2"})
	b, warnings, err := ParseBroker(p, map[string]string{"num.partitions": "3", "no.such": "1"})
	require.NoError(t, err)
	require.Equal(t, 3, b.Int("num.partitions"))
	require.Equal(t, []Warning{{Key: "no.such", Text: "--override: no.such is not a known setting and is ignored", Unknown: true}}, warnings)
	require.EqualError(t, Strict(warnings), "--override: no.such is not a known setting and is ignored")
	require.NoError(t, Strict([]Warning{{Key: "num.io.threads", Text: "no effect"}}))
}

func TestHints(t *testing.T) {
	for setting, want := range map[string]string{
		"log.retention.hours=7days":                "s:2: log.retention.hours=7days cannot be used, allowed is a whole number, such as 168",
		"socket.send.buffer.bytes=100*1024":        "s:2: socket.send.buffer.bytes=100*1024 cannot be used, allowed is a whole number, such as 102400",
		"auto.create.topics.enable=ture":           "s:2: auto.create.topics.enable=ture cannot be used, allowed is true or false",
		"log.cleaner.min.cleanable.ratio=half":     "s:2: log.cleaner.min.cleanable.ratio=half cannot be used, allowed is a number, such as 0.5",
		"log.message.timestamp.type=x":             "s:2: log.message.timestamp.type=x cannot be used, allowed is one of CreateTime, LogAppendTime",
		"listeners=foo":                            "s:2: listeners=foo cannot be used, allowed is NAME://host:port, separated by commas",
		"inter.broker.protocol.version=9.9":        "s:2: inter.broker.protocol.version=9.9 cannot be used, allowed is a version such as 2.8, 2.4-IV1 or 0.10.2",
		"process.roles=broker":                     "s:2: process.roles=broker cannot be used, allowed is nothing: leave the setting out and give zookeeper.connect",
		"max.connections.per.ip.overrides=a:b":     "s:2: max.connections.per.ip.overrides=a:b cannot be used, allowed is host:count pairs, separated by commas",
		"listener.security.protocol.map=A:B":       "s:2: listener.security.protocol.map=A:B cannot be used, allowed is PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL as the protocol",
		"replica.lag.time.max.ms=1\nbroker.rack=a": "",
	} {
		t.Run(setting, func(t *testing.T) {
			p, err := ParseProperties("s", []byte("zookeeper.connect=a\n"+setting+"\n"))
			require.NoError(t, err)
			_, _, err = ParseBroker(p, nil)
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, want, e.Hint)
		})
	}
}

func TestWarnings(t *testing.T) {
	for setting, want := range map[string]string{
		"log.rentention.hours=1":                          "s:2: log.rentention.hours is not a known setting and is ignored; did you mean log.retention.hours?",
		"Broker.id=1":                                     "s:2: Broker.id is not a known setting and is ignored; did you mean broker.id?",
		"retention.ms=1":                                  "s:2: retention.ms is not a known setting and is ignored; did you mean log.retention.ms?",
		"something.else.entirely=1":                       "s:2: something.else.entirely is not a known setting and is ignored",
		"brokerid=1":                                      "s:2: brokerid is ignored: renamed in 0.8.0 to broker.id",
		"replica.lag.max.messages=4000":                   "s:2: replica.lag.max.messages is ignored: removed in 0.9.0, only replica.lag.time.max.ms decides who is in sync",
		"log.cleanup.interval.mins=1":                     "s:2: log.cleanup.interval.mins is ignored: removed in 0.8.1, log.retention.check.interval.ms (in milliseconds) replaced it",
		"producer.id.expiration.ms=1":                     "s:2: producer.id.expiration.ms is ignored: it came with Kafka 3.4",
		"leader.replication.throttled.rate=1":             "s:2: leader.replication.throttled.rate is ignored here: it is set with kafka-configs while the broker runs",
		"super.users=User:a":                              "s:2: super.users has no effect: it belongs to the authorizer, not implemented yet",
		"num.network.threads=9":                           "s:2: num.network.threads=9 has no effect: there are no such threads, queues or sweeps here: each connection is served by itself",
		"node.id=4":                                       "s:2: node.id=4 has no effect: it is for a cluster without ZooKeeper",
		"ssl.keystore.password=x":                         "s:2: ssl.keystore.password=[hidden] has no effect: it is not implemented yet",
		"num.network.threads=3":                           "",
		"log.retention.hours=5":                           "",
		"producer.acks=1":                                 "",
		"consumer.group.id=1":                             "",
		"listener.name.internal.ssl.keystore.location=/x": "s:2: listener.name.internal.ssl.keystore.location has no effect: settings of one listener alone are not implemented yet",
		"gregor.something=1":                              "s:2: gregor.something is not a known setting and is ignored",
		"config.providers=file":                           "s:2: config.providers has no effect: it belongs to the configuration providers, not implemented yet",
	} {
		t.Run(setting, func(t *testing.T) {
			p, err := ParseProperties("s", []byte("zookeeper.connect=a\n"+setting+"\n"))
			require.NoError(t, err)
			_, warnings, err := ParseBroker(p, nil)
			require.NoError(t, err)
			if want == "" {
				require.Empty(t, warnings)
				return
			}
			require.Len(t, warnings, 1)
			require.Equal(t, want, warnings[0].Text)
		})
	}
}

// TestShippedFiles holds the files of config/ to the keys that 2.8's have.
func TestShippedFiles(t *testing.T) {
	for name, want := range map[string]string{
		"server": "broker.id=0 num.network.threads=3 num.io.threads=8 socket.send.buffer.bytes=102400 socket.receive.buffer.bytes=102400 socket.request.max.bytes=104857600 " +
			"log.dirs=/tmp/kafka-logs num.partitions=1 num.recovery.threads.per.data.dir=1 offsets.topic.replication.factor=1 transaction.state.log.replication.factor=1 " +
			"transaction.state.log.min.isr=1 log.retention.hours=168 log.segment.bytes=1073741824 log.retention.check.interval.ms=300000 zookeeper.connect=localhost:2181 " +
			"zookeeper.connection.timeout.ms=18000 group.initial.rebalance.delay.ms=0",
		"zookeeper": "dataDir=/tmp/zookeeper clientPort=2181 maxClientCnxns=0 admin.enableServer=false",
		"producer":  "bootstrap.servers=localhost:9092 compression.type=none",
		"consumer":  "bootstrap.servers=localhost:9092 group.id=test-consumer-group",
	} {
		p, err := ReadProperties("../../config/" + name + ".properties")
		require.NoError(t, err)
		var got []string
		for _, key := range p.Keys() {
			value, _ := p.Get(key)
			got = append(got, key+"="+value)
		}
		require.Equal(t, want, strings.Join(got, " "), name)
	}
	p, err := ReadProperties("../../config/server.properties")
	require.NoError(t, err)
	_, warnings, err := ParseBroker(p, nil)
	require.NoError(t, err)
	require.Empty(t, warnings)
}

func TestDoubles(t *testing.T) {
	for text, want := range map[string]string{"0.5": "0.5", "1": "1.0", "100d": "100.0", "1e6": "1000000.0", "1e7": "1.0E7", "0.001": "0.001",
		"0.0001": "1.0E-4", "1.5e-7f": "1.5E-7", "12345678": "1.2345678E7", "-0": "-0.0", "0": "0.0", "NaN": "NaN", "-Infinity": "-Infinity",
		"1e999": "Infinity", "0x1p3": "8.0", "1.7976931348623157E308": "1.7976931348623157E308"} {
		real, err := parseDouble(text)
		require.NoError(t, err, text)
		require.Equal(t, want, formatDouble(real), text)
	}
	for _, text := range []string{"", "x", "inf", "nan", "1_0", "1 2", "0x1", "d"} {
		_, err := parseDouble(text)
		require.Error(t, err, text)
	}
}

func FuzzParseBroker(f *testing.F) {
	f.Add("listeners", "PLAINTEXT://:9092,SSL://[::1]:1")
	f.Add("listener.security.protocol.map", "A:B,:,")
	f.Add("max.connections.per.ip.overrides", "a:1,:")
	f.Add("log.cleaner.threads", "0")
	f.Add("controller.quorum.voters", "1@h:2")
	f.Fuzz(func(t *testing.T, key, value string) {
		b, _, err := ParseBroker(NewProperties(map[string]string{"zookeeper.connect": "a", key: value}), nil)
		if err != nil {
			var e *Error
			require.ErrorAs(t, err, &e)
			return
		}
		require.NotEmpty(t, b.Dump())
		require.NotEmpty(t, b.Describe())
		_, err = ParseTopic(b, nil)
		_ = fmt.Sprint(err)
	})
}
