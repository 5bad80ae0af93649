package api

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/logging"
	"gregor/pkg/wire"
)

func metadataOf(version int16, topics ...string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = version
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, t := range topics {
		req.Topics = append(req.Topics, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr(t)})
	}
	return req
}

// shown is what a metadata answer says: its topics as name=error(partitions),
// a partition as index:error:leader:replicas:isr.
func shown(resp *kmsg.MetadataResponse) string {
	var topics []string
	for _, t := range resp.Topics {
		var parts []string
		for _, p := range t.Partitions {
			parts = append(parts, fmt.Sprintf("%d:%d:%d:%v:%v", p.Partition, p.ErrorCode, p.Leader, p.Replicas, p.ISR))
		}
		topics = append(topics, fmt.Sprintf("%s=%d(%s)", *t.Topic, t.ErrorCode, strings.Join(parts, " ")))
	}
	return strings.Join(topics, " ")
}

func (p *dataPlane) metadata(req *kmsg.MetadataRequest) *kmsg.MetadataResponse {
	p.t.Helper()
	return p.ask(req).(*kmsg.MetadataResponse)
}

func TestMetadataEveryVersion(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 2)
	p.lead("__consumer_offsets", 1)
	for version := int16(0); version <= 11; version++ {
		resp := p.metadata(metadataOf(version, "t"))
		require.Equal(t, "t=0(0:0:1:[1]:[1] 1:0:1:[1]:[1])", shown(resp), "version %d", version)
		require.Len(t, resp.Brokers, 2)
		require.Equal(t, "host", resp.Brokers[0].Host)
		require.Equal(t, int32(9091), resp.Brokers[0].Port)
		if version >= 1 {
			require.Equal(t, int32(1), resp.ControllerID)
		}
		if version >= 2 {
			require.Equal(t, "cluster-id", *resp.ClusterID)
		}
		require.Equal(t, version >= 10, resp.Topics[0].TopicID == [16]byte{0xee, 1})

		all := metadataOf(version)
		all.Topics = nil
		require.Len(t, p.metadata(all).Topics, 2, "version %d: all", version)
		none := p.metadata(metadataOf(version))
		require.Len(t, none.Topics, map[bool]int{true: 2, false: 0}[version == 0], "version %d: the empty list", version)
		if version >= 1 {
			require.True(t, p.metadata(all).Topics[0].IsInternal)
			require.False(t, p.metadata(all).Topics[1].IsInternal)
		}
	}
}

func TestMetadataOfMissingTopics(t *testing.T) {
	p := newDataPlane(t)
	require.Equal(t, "x=5() a b=17()", shown(p.metadata(metadataOf(4, "x", "a b"))), "nothing is known before a controller spoke")
	require.Empty(t, p.creator.asked)

	p.lead("t", 1)
	// the topic of a request twice is answered once
	require.Equal(t, "t=0(0:0:1:[1]:[1]) x=3() bad name=17() =17()", shown(p.metadata(metadataOf(4, "x", "t", "bad name", "t", "x", ""))))
	require.Empty(t, p.creator.asked, "auto.create.topics.enable=false")

	p.autoMake = true
	p.creator.err = kerr.LeaderNotAvailable
	asked := metadataOf(4, "x", "t")
	require.Equal(t, "t=0(0:0:1:[1]:[1]) x=3()", shown(p.metadata(asked)), "the client does not want it")
	require.Empty(t, p.creator.asked)
	asked.AllowAutoTopicCreation = true
	require.Equal(t, "t=0(0:0:1:[1]:[1]) x=5()", shown(p.metadata(asked)))
	require.Equal(t, []string{"x"}, p.creator.asked)
	p.metadata(metadataOf(3, "y"))
	require.Equal(t, []string{"x", "y"}, p.creator.asked, "before version 4 every client wants it")
	p.creator.err = kerr.InvalidReplicationFactor
	require.Equal(t, "z=38()", shown(p.metadata(metadataOf(1, "z"))))
}

// Who created a topic is logged once, and loudly when it came back from the
// dead.
func TestMetadataSaysWhoCreated(t *testing.T) {
	var out bytes.Buffer
	p := newDataPlane(t)
	p.lead("gone", 1)
	p.creator.err = kerr.LeaderNotAvailable
	cluster := NewCluster(ClusterOptions{Metadata: p.cache, Topics: &p.creator, AutoCreateTopics: func() bool { return true }, Loggers: logging.New(&out)})
	ask := func(topic string) {
		r := p.request(3, 9, nil)
		req := metadataOf(9, topic)
		req.AllowAutoTopicCreation = true
		cluster.metadata(t.Context(), r, req)
	}
	ask("new")
	ask("new")
	require.Equal(t, 1, strings.Count(out.String(), "INFO auto-created topic new for client tester from 127.0.0.1 (Metadata v9) (kafka.server.KafkaApis)"))

	um := kmsg.NewPtrUpdateMetadataRequest()
	um.Version, um.ControllerEpoch, um.BrokerEpoch = 7, 1, -1
	um.TopicStates = []kmsg.UpdateMetadataRequestTopicState{{Topic: "gone", PartitionStates: []kmsg.UpdateMetadataRequestTopicPartition{{Leader: -2}}}}
	require.Zero(t, p.ask(um).(*kmsg.UpdateMetadataResponse).ErrorCode)
	ask("gone")
	require.Contains(t, out.String(), "WARN auto-created topic gone for client tester from 127.0.0.1 (Metadata v9), which was deleted 0s ago")
}

func TestMetadataOfBrokersThatAreDown(t *testing.T) {
	p := newDataPlane(t)
	p.assign("t", 1, 0, 1, []int32{1, 3}, []int32{1, 2, 3}) // brokers 1 and 2 live
	require.Equal(t, "t=9(0:9:1:[1 2]:[1])", strings.Replace(shown(p.metadata(metadataOf(0, "t"))), "t=0", "t=9", 1))
	require.Equal(t, "t=0(0:0:1:[1 2 3]:[1 3])", shown(p.metadata(metadataOf(1, "t"))))
	p.assign("t", 1, 1, 3, []int32{3}, []int32{1, 2, 3})
	require.Equal(t, "t=0(0:5:-1:[1 2 3]:[3])", shown(p.metadata(metadataOf(9, "t"))))
	require.Equal(t, int32(1), p.metadata(metadataOf(9, "t")).Topics[0].Partitions[0].LeaderEpoch)
}

func TestMetadataOfAnotherListener(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 1)
	ask := func(version int16) *kmsg.MetadataResponse {
		r := p.request(3, version, metadataOf(version, "t").AppendTo(nil))
		r.Peer.Listener = "OTHER"
		resp := kmsg.NewPtrMetadataResponse()
		resp.Version = version
		require.NoError(t, resp.ReadFrom(collect(t, p.router.Answer(t.Context(), r))))
		return resp
	}
	require.Equal(t, "t=0(0:5:-1:[1]:[1])", shown(ask(5)))
	require.Equal(t, "t=0(0:72:-1:[1]:[1])", shown(ask(6)))
	require.Empty(t, ask(6).Brokers)
}

func TestMetadataAuthorizedOperations(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 1)
	for version := int16(8); version <= 11; version++ {
		req := metadataOf(version, "t", "missing")
		resp := p.metadata(req)
		require.Equal(t, notAskedOperations, resp.AuthorizedOperations)
		require.Equal(t, notAskedOperations, resp.Topics[0].AuthorizedOperations)
		req.IncludeClusterAuthorizedOperations, req.IncludeTopicAuthorizedOperations = true, true
		resp = p.metadata(req)
		require.Equal(t, int32(3576), resp.Topics[0].AuthorizedOperations)
		require.Equal(t, int32(3576), resp.Topics[1].AuthorizedOperations)
		if version <= 10 {
			require.Equal(t, int32(8096), resp.AuthorizedOperations)
		}
	}
}

// As a running 2.8.2 answers.
func TestMetadataByTopicIDIsRefused(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 1)
	for _, c := range []struct {
		topic kmsg.MetadataRequestTopic
		want  string
	}{
		{kmsg.MetadataRequestTopic{}, "000000000100ffffffff02002a01000000000000000000000000000000000001800000000000"},
		{kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr("t"), TopicID: [16]byte{1}}, "000000000100ffffffff02002a0274010000000000000000000000000000000001800000000000"},
	} {
		req := metadataOf(11)
		req.Topics = append(req.Topics, c.topic)
		require.Equal(t, c.want, hex.EncodeToString(collect(t, p.answer(req))))
	}
}

func TestMetadataGolden(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 1)
	body := collect(t, p.answer(metadataOf(4, "bad name")))
	require.Contains(t, hex.EncodeToString(body), hex.EncodeToString([]byte("bad name"))+"00"+"00000000")
	require.Contains(t, hex.EncodeToString(body), "00000001"+"0011"+"0008")
}

func TestMetadataWarnsOfLoopback(t *testing.T) {
	var out bytes.Buffer
	p := newDataPlane(t)
	p.lead("t", 1)
	cluster := NewCluster(ClusterOptions{Metadata: p.cache, Loggers: logging.New(&out)})
	ask := func(host string) {
		r := p.request(60, 0, nil)
		r.Peer = &wire.Peer{Host: host, Listener: "PLAINTEXT", ConnectionID: "10.0.0.1:9092-" + host + ":5000-0"}
		cluster.metadataBrokers(r, p.cache.Snapshot())
	}
	ask("10.0.0.7")
	require.Empty(t, out.String(), "the brokers are at \"host\"")
	um := kmsg.NewPtrUpdateMetadataRequest()
	um.Version, um.ControllerEpoch, um.BrokerEpoch = 7, 1, -1
	um.LiveBrokers = []kmsg.UpdateMetadataRequestLiveBroker{{ID: 1, Endpoints: []kmsg.UpdateMetadataRequestLiveBrokerEndpoint{{Host: "localhost", Port: 9092, ListenerName: "PLAINTEXT"}}}}
	require.Zero(t, p.ask(um).(*kmsg.UpdateMetadataResponse).ErrorCode)
	ask("127.0.0.1")
	ask("10.0.0.1")
	require.Empty(t, out.String(), "clients of this machine")
	ask("10.0.0.7")
	ask("10.0.0.7")
	require.Equal(t, 1, strings.Count(out.String(), "Client tester at 10.0.0.7 was told to connect to localhost:9092"))
}

func TestDescribeCluster(t *testing.T) {
	p := newDataPlane(t)
	req := kmsg.NewPtrDescribeClusterRequest()
	resp := p.ask(req).(*kmsg.DescribeClusterResponse)
	require.Equal(t, int32(-1), resp.ControllerID)
	require.Empty(t, resp.Brokers)
	p.lead("t", 1)
	resp = p.ask(req).(*kmsg.DescribeClusterResponse)
	require.Equal(t, "cluster-id", resp.ClusterID)
	require.Equal(t, int32(1), resp.ControllerID)
	require.Len(t, resp.Brokers, 2)
	require.Equal(t, notAskedOperations, resp.ClusterAuthorizedOperations)
	req.IncludeClusterAuthorizedOperations = true
	require.Equal(t, int32(8096), p.ask(req).(*kmsg.DescribeClusterResponse).ClusterAuthorizedOperations)
}

func TestDescribeLogDirs(t *testing.T) {
	broken := t.TempDir()
	p := newDataPlane(t, broken)
	p.lead("b", 1)
	p.lead("a", 2)
	p.put("a", 1, "x")
	ask := func(version int16, topics []kmsg.DescribeLogDirsRequestTopic) string {
		req := kmsg.NewPtrDescribeLogDirsRequest()
		req.Version, req.Topics = version, topics
		resp := p.ask(req).(*kmsg.DescribeLogDirsResponse)
		require.Len(t, resp.Dirs, 2)
		require.Equal(t, p.logs.LiveDirs()[0], resp.Dirs[0].Dir)
		require.Equal(t, broken, resp.Dirs[1].Dir)
		require.Equal(t, kerr.KafkaStorageError.Code, resp.Dirs[1].ErrorCode)
		var all []string
		for _, topic := range resp.Dirs[0].Topics {
			s := topic.Topic
			for _, part := range topic.Partitions {
				s += fmt.Sprintf(" %d:%d:%d", part.Partition, part.Size, part.OffsetLag)
			}
			all = append(all, s)
		}
		return strings.Join(all, ", ")
	}
	for version := int16(0); version <= 2; version++ {
		require.Equal(t, "a 0:0:0 1:70:0, b 0:0:0", ask(version, nil))
		require.Equal(t, "a, b", ask(version, []kmsg.DescribeLogDirsRequestTopic{}))
		require.Equal(t, "a 1:70:0, b", ask(version, []kmsg.DescribeLogDirsRequestTopic{{Topic: "a", Partitions: []int32{1, 9}}, {Topic: "none", Partitions: []int32{0}}}))
	}
}
