package api

import (
	"context"
	"encoding/hex"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/commitlog"
	"gregor/pkg/compress"
	"gregor/pkg/config"
	"gregor/pkg/logging"
	"gregor/pkg/logmanager"
	"gregor/pkg/metadata"
	"gregor/pkg/model"
	"gregor/pkg/record"
	"gregor/pkg/replica"
	"gregor/pkg/wire"
)

// dataPlane is broker 1 without network and controller: the families of this
// package over real logs in a temporary directory. Tests speak to it as the
// controller and as clients, through the router.
type dataPlane struct {
	t        testing.TB
	router   *Router
	replicas *replica.Manager
	cache    *metadata.Cache
	logs     *logmanager.Manager
	data     *Data
	cluster  *Cluster
	settings replica.TopicSettings
	changes  []replica.LeadershipChange
	deleted  []model.TopicPartition
	creator  creator
	autoMake bool
	epoch    model.BrokerEpoch
	next     int32 // correlation id
}

// creator is a AutoTopicCreator that remembers what it was asked.
type creator struct {
	asked []string
	err   error
}

func (c *creator) AutoCreate(_ context.Context, topics []string) []error {
	c.asked = append(c.asked, topics...)
	errs := make([]error, len(topics))
	for i := range errs {
		errs[i] = c.err
	}
	return errs
}

func newDataPlane(t testing.TB, failedDirs ...string) *dataPlane {
	loggers := logging.Discard()
	p := &dataPlane{t: t, router: NewRouter(), logs: newTestLogs(t, loggers, failedDirs...), epoch: 100}
	p.settings = replica.TopicSettings{MinInSyncReplicas: 1, CompressionType: "producer"}
	p.cache = metadata.New(1, "cluster-id", loggers)
	p.replicas = replica.New(replica.Options{
		BrokerID: 1, Logs: p.logs, Metadata: p.cache, TopicIDs: true, Loggers: loggers,
		BrokerEpoch:        func() model.BrokerEpoch { return p.epoch },
		Settings:           func(string) replica.TopicSettings { return p.settings },
		CheckpointInterval: time.Hour,
		LagTimeMax:         30 * time.Second,
		Versions:           replica.PeerVersionsFor(config.IBP_2_8_IV1),
		OnLeadership:       func(c replica.LeadershipChange) { p.changes = append(p.changes, c) },
		OnDeleted:          func(d []model.TopicPartition) { p.deleted = append(p.deleted, d...) },
	})
	p.replicas.Start()
	t.Cleanup(func() { require.NoError(t, p.replicas.Close()) })
	p.data = NewData(DataOptions{Replicas: p.replicas, Metadata: p.cache, FetchMaxBytes: 57671680, FetchSessionSlots: 10, Loggers: loggers})
	p.cluster = NewCluster(ClusterOptions{Metadata: p.cache, Replicas: p.replicas, Topics: &p.creator,
		AutoCreateTopics: func() bool { return p.autoMake }, Loggers: loggers})
	p.data.Register(p.router)
	p.cluster.Register(p.router)
	(&ControlPlane{Replicas: p.replicas}).Register(p.router)
	return p
}

// newTestLogs are the logs of a new broker; failed directories may stand
// beside the one they are in.
func newTestLogs(t testing.TB, loggers *logging.Loggers, failed ...string) *logmanager.Manager {
	t.Helper()
	logs, err := logmanager.New(logmanager.Options{Dirs: append([]string{t.TempDir()}, failed...), InitialOffline: failed, Loggers: loggers})
	require.NoError(t, err)
	require.NoError(t, logs.Lock())
	require.NoError(t, logs.Load(t.Context(), func(string) commitlog.Options { return commitlog.DefaultOptions() }))
	t.Cleanup(func() { require.NoError(t, logs.Shutdown()) })
	return logs
}

// request puts a body in the frame of a client.
func (p *dataPlane) request(key, version int16, body []byte) *wire.Request {
	p.next++
	client := "tester"
	return &wire.Request{
		Header: wire.Header{Key: key, Version: version, CorrelationID: p.next, ClientID: &client},
		Body:   body,
		Peer:   &wire.Peer{ConnectionID: "127.0.0.1:9092-127.0.0.1:5000-0", Host: "127.0.0.1", Listener: "PLAINTEXT"},
	}
}

// answer sends a request through the router and returns its answer.
func (p *dataPlane) answer(req kmsg.Request) wire.Answer {
	return p.router.Answer(p.t.Context(), p.request(req.Key(), req.GetVersion(), req.AppendTo(nil)))
}

// ask is answer decoded, with the records of the files in it.
func (p *dataPlane) ask(req kmsg.Request) kmsg.Response {
	p.t.Helper()
	resp := req.ResponseKind()
	body := collect(p.t, p.answer(req))
	require.NoError(p.t, resp.ReadFrom(body))
	require.Equal(p.t, hex.EncodeToString(resp.AppendTo(nil)), hex.EncodeToString(body), "the answer is as kmsg would encode it")
	return resp
}

// collect reads an answer the way a connection writes it.
func collect(t testing.TB, a wire.Answer) []byte {
	t.Helper()
	require.False(t, a.Close, "the connection was closed")
	require.False(t, a.None, "there was no answer")
	defer a.Release()
	var body []byte
	for _, c := range a.Chunks {
		if c.Region == nil {
			body = append(body, c.Bytes...)
			continue
		}
		part := make([]byte, c.Region.Length)
		_, err := c.Region.File.ReadAt(part, c.Region.Position)
		require.NoError(t, err)
		body = append(body, part...)
	}
	return body
}

// lead makes broker 1 the leader of partitions of a topic, as the controller
// does it for a new topic.
func (p *dataPlane) lead(topic string, partitions int) {
	p.t.Helper()
	p.assign(topic, partitions, 0, 1, []int32{1}, []int32{1})
}

// assign sends LeaderAndIsr and UpdateMetadata for all partitions of a topic.
func (p *dataPlane) assign(topic string, partitions int, epoch, leader int32, isr, replicas []int32) {
	p.t.Helper()
	lai := kmsg.NewPtrLeaderAndISRRequest()
	lai.Version, lai.ControllerID, lai.ControllerEpoch, lai.BrokerEpoch = 5, 1, 1, int64(p.epoch)
	um := kmsg.NewPtrUpdateMetadataRequest()
	um.Version, um.ControllerID, um.ControllerEpoch, um.BrokerEpoch = 7, 1, 1, int64(p.epoch)
	for id := int32(1); id <= 2; id++ {
		um.LiveBrokers = append(um.LiveBrokers, kmsg.UpdateMetadataRequestLiveBroker{ID: id,
			Endpoints: []kmsg.UpdateMetadataRequestLiveBrokerEndpoint{{Host: "host", Port: 9090 + id, ListenerName: "PLAINTEXT"}}})
	}
	lt := kmsg.LeaderAndISRRequestTopicState{Topic: topic, TopicID: [16]byte{0xee, 1}}
	ut := kmsg.UpdateMetadataRequestTopicState{Topic: topic, TopicID: [16]byte{0xee, 1}}
	for i := range partitions {
		lt.PartitionStates = append(lt.PartitionStates, kmsg.LeaderAndISRRequestTopicPartition{Partition: int32(i),
			ControllerEpoch: 1, Leader: leader, LeaderEpoch: epoch, ISR: isr, Replicas: replicas, IsNew: true})
		ut.PartitionStates = append(ut.PartitionStates, kmsg.UpdateMetadataRequestTopicPartition{Partition: int32(i),
			ControllerEpoch: 1, Leader: leader, LeaderEpoch: epoch, ISR: isr, Replicas: replicas})
	}
	lai.TopicStates = append(lai.TopicStates, lt)
	um.TopicStates = append(um.TopicStates, ut)
	require.Zero(p.t, p.ask(um).(*kmsg.UpdateMetadataResponse).ErrorCode)
	resp := p.ask(lai).(*kmsg.LeaderAndISRResponse)
	require.Zero(p.t, resp.ErrorCode)
	require.Equal(p.t, lt.TopicID, resp.Topics[0].TopicID)
	for _, partition := range resp.Topics[0].Partitions {
		require.Zero(p.t, partition.ErrorCode)
	}
}

// batchOf is one batch of values with keys.
func batchOf(values ...string) []byte {
	b := record.NewBuilder(compress.None)
	for _, v := range values {
		b.Append(1600000000000, []byte("k"), []byte(v))
	}
	return b.MustBuild()
}

// produceOf is a request of one partition.
func produceOf(version, acks int16, topic string, partition int32, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = version, acks, 1000
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: partition, Records: records}}}}
	return req
}

// produced sends a request of one partition and returns its part of the
// answer.
func (p *dataPlane) produced(req *kmsg.ProduceRequest) kmsg.ProduceResponseTopicPartition {
	p.t.Helper()
	resp := p.ask(req).(*kmsg.ProduceResponse)
	require.Len(p.t, resp.Topics, 1)
	require.Len(p.t, resp.Topics[0].Partitions, 1)
	return resp.Topics[0].Partitions[0]
}

// put appends values as one batch, with acks=all.
func (p *dataPlane) put(topic string, partition int32, values ...string) {
	p.t.Helper()
	require.Zero(p.t, p.produced(produceOf(9, -1, topic, partition, batchOf(values...))).ErrorCode)
}

// fetchOf is a sessionless request of one partition that does not wait.
func fetchOf(version int16, topic string, partition int32, offset int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.ReplicaID, req.MinBytes, req.MaxBytes, req.SessionEpoch = version, -1, 1, 1<<20, -1
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = partition, offset, 1<<20
	req.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{part}}}
	return req
}

func (p *dataPlane) fetched(req *kmsg.FetchRequest) kmsg.FetchResponseTopicPartition {
	p.t.Helper()
	resp := p.ask(req).(*kmsg.FetchResponse)
	require.Zero(p.t, resp.ErrorCode)
	require.Len(p.t, resp.Topics, 1)
	require.Len(p.t, resp.Topics[0].Partitions, 1)
	return resp.Topics[0].Partitions[0]
}

// valuesOf reads the values of all records in a fetched run of bytes.
func valuesOf(t testing.TB, b []byte) []string {
	t.Helper()
	var values []string
	for len(b) > 0 {
		batch, rest, err := record.Split(b)
		require.NoError(t, err)
		records := batch.Records(1 << 20)
		for records.Next() {
			values = append(values, string(records.Record().Value))
		}
		require.NoError(t, records.Err())
		records.Close()
		b = rest
	}
	return values
}
