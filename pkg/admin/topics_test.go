package admin_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"gregor/pkg/admin"
	"gregor/pkg/config"
	"gregor/pkg/controller"
	"gregor/pkg/kerr"
	"gregor/pkg/logging"
	"gregor/pkg/metadata"
	"gregor/pkg/model"
	"gregor/pkg/protocol"
	"gregor/pkg/zkstore"
	"gregor/pkg/zookeeper/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a broker as far as topic administration needs one: registered, with
// a controller and a metadata cache that the controller's requests fill.
type node struct {
	t          testing.TB
	zk         *zkstore.Store
	controller *controller.Controller
	cache      *metadata.Cache
	topics     *admin.Topics
	done       sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
	log   bytes.Buffer
}

func (n *node) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.log.Write(b)
}

func (n *node) logged() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.log.String()
}

func brokerConfig(t testing.TB, settings map[string]string) *config.Broker {
	t.Helper()
	all := map[string]string{"zookeeper.connect": "localhost:2181", "num.partitions": "2", "offsets.topic.replication.factor": "1",
		"offsets.topic.num.partitions": "3", "log.segment.bytes": "123456"}
	for k, v := range settings {
		all[k] = v
	}
	b, _, err := config.ParseBroker(config.NewProperties(all), nil)
	require.NoError(t, err)
	return b
}

func startNode(t testing.TB, settings map[string]string, ids ...model.BrokerID) *node {
	t.Helper()
	_, benchmark := t.(*testing.B) // which is meant to wait for the disk
	zks, err := server.Start(context.Background(), server.Config{DataDir: t.TempDir(), ClientPortAddress: "127.0.0.1", TickTime: 100 * time.Millisecond, NoForceSync: !benchmark})
	require.NoError(t, err)
	t.Cleanup(func() { zks.Close() })
	n := &node{t: t}
	loggers := logging.New(n)
	n.zk, err = zkstore.Open(context.Background(), zkstore.Options{Connect: zks.Addr()})
	require.NoError(t, err)
	t.Cleanup(n.zk.Close)
	require.NoError(t, n.zk.CreateTopLevelPaths(t.Context()))

	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	n.cache = metadata.New(ids[0], "cluster", loggers)
	n.done.Go(func() { n.accept(l) })
	t.Cleanup(func() {
		l.Close()
		n.mu.Lock()
		for _, c := range n.conns {
			c.Close()
		}
		n.mu.Unlock()
		n.done.Wait()
	})
	for _, id := range ids {
		_, err = n.zk.RegisterBroker(t.Context(), zkstore.BrokerInfo{JMXPort: -1, Broker: model.Broker{ID: id,
			Endpoints: []model.Endpoint{{Listener: "PLAINTEXT", Host: "127.0.0.1", Port: int32(l.Addr().(*net.TCPAddr).Port)}}}})
		require.NoError(t, err)
	}
	cfg := brokerConfig(t, settings)
	n.controller = controller.New(n.zk, controller.Options{ID: ids[0], InterBrokerListener: "PLAINTEXT", DeleteTopicEnable: cfg.Bool("delete.topic.enable"),
		Versions: controller.VersionsFor(cfg.InterBrokerProtocol()), Loggers: loggers})
	n.controller.Start()
	t.Cleanup(n.controller.Shutdown)
	n.topics = admin.NewTopics(admin.TopicsOptions{ZK: admin.NewZK(n.zk, loggers), Controller: n.controller, Metadata: n.cache,
		Config: func() *config.Broker { return cfg }, Loggers: loggers})
	within(t, "the broker knows the cluster", func() bool { return len(n.cache.Snapshot().Brokers()) == len(ids) })
	return n
}

func within(t testing.TB, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 15*time.Second, 2*time.Millisecond, what)
}

func (n *node) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		n.mu.Lock()
		n.conns = append(n.conns, c)
		n.mu.Unlock()
		n.done.Go(func() { n.serve(c) })
	}
}

// serve answers the controller: every replica does as it is told.
func (n *node) serve(c net.Conn) {
	defer c.Close()
	for {
		var size [4]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(c, frame); err != nil {
			return
		}
		header, body, err := protocol.ParseHeader(frame)
		if err != nil {
			n.t.Errorf("header: %v", err)
			return
		}
		req := kmsg.RequestForKey(header.Key)
		req.SetVersion(header.Version)
		if err := req.ReadFrom(body); err != nil {
			n.t.Errorf("body of %d: %v", header.Key, err)
			return
		}
		resp := req.ResponseKind()
		switch r := req.(type) {
		case *kmsg.UpdateMetadataRequest:
			n.cache.Update(r, header.CorrelationID)
		case *kmsg.StopReplicaRequest:
			for _, topic := range r.Topics {
				for _, p := range topic.PartitionStates {
					stopped := resp.(*kmsg.StopReplicaResponse)
					stopped.Partitions = append(stopped.Partitions, kmsg.StopReplicaResponsePartition{Topic: topic.Topic, Partition: p.Partition})
				}
			}
		}
		answer := resp.AppendTo(protocol.AppendResponseHeader(nil, header))
		c.Write(binary.BigEndian.AppendUint32(nil, uint32(len(answer))))
		c.Write(answer)
	}
}

func newTopic(name string, partitions int32, factor int16, settings ...string) kmsg.CreateTopicsRequestTopic {
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, factor
	for i := 0; i+1 < len(settings); i += 2 {
		one := kmsg.NewCreateTopicsRequestTopicConfig()
		one.Name, one.Value = settings[i], &settings[i+1]
		topic.Configs = append(topic.Configs, one)
	}
	return topic
}

func placed(name string, replicas ...[]int32) kmsg.CreateTopicsRequestTopic {
	topic := newTopic(name, -1, -1)
	for i, r := range replicas {
		topic.ReplicaAssignment = append(topic.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(i), Replicas: r})
	}
	return topic
}

func (n *node) create(version int16, topics ...kmsg.CreateTopicsRequestTopic) *kmsg.CreateTopicsResponse {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis, req.Topics = version, 10000, topics
	return n.topics.CreateTopics(n.t.Context(), req)
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// TestReplicasArePlacedOnBrokers makes topics with several replicas: placed by
// factor and by hand, also on a broker that is not there.
func TestReplicasArePlacedOnBrokers(t *testing.T) {
	n := startNode(t, nil, 0, 1, 2)
	resp := n.create(7, newTopic("three", 3, 3), placed("hand", []int32{2, 0}, []int32{1, 9}), newTopic("four", 1, 4))
	require.Equal(t, int16(0), resp.Topics[0].ErrorCode, text(resp.Topics[0].ErrorMessage))
	require.Equal(t, int16(3), resp.Topics[0].ReplicationFactor)
	require.Equal(t, int16(0), resp.Topics[1].ErrorCode, text(resp.Topics[1].ErrorMessage))
	require.Equal(t, int16(2), resp.Topics[1].ReplicationFactor)
	require.Equal(t, "Replication factor: 4 larger than available brokers: 3.", text(resp.Topics[2].ErrorMessage))

	s := n.cache.Snapshot()
	leaders := map[model.BrokerID]bool{}
	for i := range int32(3) {
		p, _ := s.Partition(model.TopicPartition{Topic: "three", Partition: i})
		require.ElementsMatch(t, []model.BrokerID{0, 1, 2}, p.Replicas)
		require.Equal(t, p.Replicas, p.ISR)
		require.Equal(t, p.Replicas[0], p.Leader)
		leaders[p.Leader] = true
	}
	require.Len(t, leaders, 3)
	p, _ := s.Partition(model.TopicPartition{Topic: "hand", Partition: 1})
	require.Equal(t, []model.BrokerID{1, 9}, p.Replicas)
	require.Equal(t, []model.BrokerID{1}, p.ISR)
	require.Equal(t, []model.BrokerID{9}, p.OfflineReplicas)
}

func TestCreateTopics(t *testing.T) {
	n := startNode(t, nil, 0)
	resp := n.create(7, newTopic("a.b", -1, -1, "retention.ms", "1000"))
	one := resp.Topics[0]
	require.Equal(t, int16(0), one.ErrorCode, text(one.ErrorMessage))
	require.Nil(t, one.ErrorMessage)
	require.Equal(t, int32(2), one.NumPartitions)
	require.Equal(t, int16(1), one.ReplicationFactor)
	topic, ok := n.cache.Snapshot().Topic("a.b")
	require.True(t, ok, "it returns when the topic is in the cache")
	require.Equal(t, model.TopicID(one.TopicID), topic.ID)
	require.False(t, topic.ID.IsZero())
	values := map[string]string{}
	for _, c := range one.Configs {
		values[c.Name] = text(c.Value)
	}
	require.Equal(t, "1000", values["retention.ms"])
	require.Equal(t, "123456", values["segment.bytes"])
	settings, err := n.zk.EntityConfig(t.Context(), zkstore.EntityTopics, "a.b")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"retention.ms": "1000"}, settings)
	require.Contains(t, n.logged(), "Creating topic a.b with configuration {retention.ms=1000} and initial partition assignment HashMap(0 -> ArrayBuffer(0), 1 -> ArrayBuffer(0)) (kafka.zk.AdminZkClient)")

	nullValue := newTopic("n", 1, 1, "retention.ms", "")
	nullValue.Configs[0].Value = nil
	both := placed("p", []int32{0})
	both.NumPartitions = 1
	for _, tc := range []struct {
		topic kmsg.CreateTopicsRequestTopic
		code  int16
		text  string
	}{
		{newTopic("a.b", 1, 1), kerr.TopicAlreadyExists.Code, "Topic 'a.b' already exists."},
		{newTopic("a_b", 1, 1), kerr.InvalidTopicException.Code, "Topic 'a_b' collides with existing topics: a.b"},
		{newTopic("a b", 1, 1), kerr.InvalidTopicException.Code, `Topic name "a b" is illegal, it contains a character other than ASCII alphanumerics, '.', '_' and '-'`},
		{newTopic("c", 0, 1), kerr.InvalidPartitions.Code, "Number of partitions must be larger than 0."},
		{newTopic("c", 1, 0), kerr.InvalidReplicationFactor.Code, "Replication factor must be larger than 0."},
		{newTopic("c", 1, 2), kerr.InvalidReplicationFactor.Code, "Replication factor: 2 larger than available brokers: 1."},
		{newTopic("c", 1, 1, "no.such", "1"), kerr.InvalidConfig.Code, "Unknown topic config name: no.such"},
		{newTopic("c", 1, 1, "retention.ms", "x"), kerr.InvalidConfig.Code, "Invalid value x for configuration retention.ms: Not a number of type LONG"},
		{nullValue, kerr.InvalidRequest.Code, "Null value not supported for topic configs : retention.ms"},
		{both, kerr.InvalidRequest.Code, "Both numPartitions or replicationFactor and replicasAssignments were set. Both cannot be used at the same time."},
		{placed("c", []int32{0, 0}), kerr.InvalidReplicaAssignment.Code, "Duplicate replica assignment found: HashMap(0 -> ArrayBuffer(0, 0))"},
		{placed("c", []int32{0}, []int32{0, 1}), kerr.InvalidReplicaAssignment.Code, "All partitions should have the same number of replicas"},
	} {
		one := n.create(5, tc.topic).Topics[0]
		require.Equal(t, tc.code, one.ErrorCode, "%s", tc.text)
		require.Equal(t, tc.text, text(one.ErrorMessage))
		require.Equal(t, int32(-1), one.NumPartitions)
		require.Equal(t, int16(-1), one.ReplicationFactor)
		require.Empty(t, one.Configs)
	}
	gap := placed("c", []int32{0}, []int32{0})
	gap.ReplicaAssignment[1].Partition = 2
	require.Equal(t, "partitions should be a consecutive 0-based integer sequence", text(n.create(1, gap).Topics[0].ErrorMessage))
	require.Contains(t, n.logged(), "[Admin Manager on Broker 0]: Error processing create topic request CreatableTopic(name='c', numPartitions=1, replicationFactor=2, assignments=[], configs=[]) (kafka.server.ZkAdminManager)\n"+
		"org.apache.kafka.common.errors.InvalidReplicationFactorException: Replication factor: 2 larger than available brokers: 1.")

	twice := n.create(1, newTopic("d", 1, 1), newTopic("e", 1, 1), newTopic("d", 1, 1))
	require.Equal(t, []int16{kerr.InvalidRequest.Code, 0, kerr.InvalidRequest.Code},
		[]int16{twice.Topics[0].ErrorCode, twice.Topics[1].ErrorCode, twice.Topics[2].ErrorCode})
	require.Equal(t, "Found multiple entries for this topic.", text(twice.Topics[0].ErrorMessage))
}

func TestCreateTopicsWithoutDoingOrWaiting(t *testing.T) {
	n := startNode(t, nil, 0)
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis, req.ValidateOnly = 7, 10000, true
	req.Topics = []kmsg.CreateTopicsRequestTopic{newTopic("a", 1, 1), newTopic("b c", 1, 1)}
	resp := n.topics.CreateTopics(t.Context(), req)
	require.Equal(t, int16(0), resp.Topics[0].ErrorCode)
	require.Equal(t, int32(1), resp.Topics[0].NumPartitions)
	require.Equal(t, kerr.InvalidTopicException.Code, resp.Topics[1].ErrorCode)
	exists, err := n.zk.TopicExists(t.Context(), "a")
	require.NoError(t, err)
	require.False(t, exists)

	req.ValidateOnly, req.TimeoutMillis = false, 0
	resp = n.topics.CreateTopics(t.Context(), req)
	require.Equal(t, kerr.RequestTimedOut.Code, resp.Topics[0].ErrorCode, "made, but not waited for")
	require.NotZero(t, resp.Topics[0].TopicID, "it has its id")
	require.NotNil(t, resp.Topics[0].Configs, "none, but not null")
	require.Nil(t, resp.Topics[0].ErrorMessage)
	within(t, "made", func() bool { _, ok := n.cache.Snapshot().Topic("a"); return ok })

	// Nobody is there to lead: the answer comes when the time is over.
	req.TimeoutMillis, req.Topics = 50, []kmsg.CreateTopicsRequestTopic{placed("away", []int32{7})}
	resp = n.topics.CreateTopics(t.Context(), req)
	require.Equal(t, kerr.RequestTimedOut.Code, resp.Topics[0].ErrorCode)
}

func (n *node) remove(version int16, topics ...string) []int16 {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version, req.TimeoutMillis, req.TopicNames = version, 10000, topics
	for i := range topics {
		req.Topics = append(req.Topics, kmsg.DeleteTopicsRequestTopic{Topic: &topics[i]})
	}
	return codes(n.topics.DeleteTopics(n.t.Context(), req))
}

func codes(resp *kmsg.DeleteTopicsResponse) (list []int16) {
	for _, one := range resp.Topics {
		list = append(list, one.ErrorCode)
	}
	return list
}

func TestDeleteTopics(t *testing.T) {
	n := startNode(t, nil, 0)
	created := n.create(7, newTopic("a", 1, 1), newTopic("b", 2, 1), newTopic("c", 1, 1))
	require.Equal(t, []int16{0, kerr.UnknownTopicOrPartition.Code, 0}, n.remove(1, "a", "nothere", "a"))
	_, there := n.cache.Snapshot().Topic("a")
	require.False(t, there, "it returns when the topic has left the cache")
	within(t, "the znodes go", func() bool {
		exists, err := n.zk.TopicExists(t.Context(), "a")
		require.NoError(t, err)
		return !exists
	})

	byID := func(ids ...model.TopicID) *kmsg.DeleteTopicsResponse {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.Version, req.TimeoutMillis = 6, 10000
		for _, id := range ids {
			req.Topics = append(req.Topics, kmsg.DeleteTopicsRequestTopic{TopicID: id})
		}
		return n.topics.DeleteTopics(t.Context(), req)
	}
	resp := byID(created.Topics[1].TopicID, model.NewTopicID())
	require.Equal(t, []int16{0, kerr.UnknownTopicID.Code}, codes(resp))
	require.Equal(t, "b", text(resp.Topics[0].Topic))
	require.Nil(t, resp.Topics[1].Topic)

	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version, req.TimeoutMillis = 6, 10000
	req.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: kmsg.StringPtr("c"), TopicID: created.Topics[2].TopicID}}
	require.Equal(t, []int16{kerr.InvalidRequest.Code}, codes(n.topics.DeleteTopics(t.Context(), req)))
	req.Topics = []kmsg.DeleteTopicsRequestTopic{{}}
	require.Equal(t, []int16{kerr.TopicAuthorizationFailed.Code}, codes(n.topics.DeleteTopics(t.Context(), req)), "neither name nor id")
	req.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: kmsg.StringPtr("c")}}
	req.TimeoutMillis = 0
	require.Equal(t, []int16{kerr.RequestTimedOut.Code}, codes(n.topics.DeleteTopics(t.Context(), req)))
}

func TestDeletionDisabled(t *testing.T) {
	n := startNode(t, map[string]string{"delete.topic.enable": "false"}, 0)
	n.create(1, newTopic("a", 1, 1))
	require.Equal(t, []int16{kerr.InvalidRequest.Code}, n.remove(2, "a"))
	require.Equal(t, []int16{kerr.TopicDeletionDisabled.Code}, n.remove(3, "a"))
	// A tool marks it all the same; the controller takes the mark away.
	require.NoError(t, admin.NewZK(n.zk, logging.Discard()).DeleteTopic(t.Context(), "a"))
	within(t, "unmarked", func() bool {
		marked, err := n.zk.IsMarkedForDeletion(t.Context(), "a")
		require.NoError(t, err)
		return !marked
	})
	_, there := n.cache.Snapshot().Topic("a")
	require.True(t, there)
	require.Contains(t, n.logged(), "INFO [Controller id=0] Removing Set(a) since delete topic is disabled (kafka.controller.KafkaController)")
}

func (n *node) grow(name string, count int32, assignment ...[]int32) kmsg.CreatePartitionsResponseTopic {
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.Version, req.TimeoutMillis = 3, 10000
	one := kmsg.NewCreatePartitionsRequestTopic()
	one.Topic, one.Count = name, count
	for _, replicas := range assignment {
		one.Assignment = append(one.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: replicas})
	}
	req.Topics = append(req.Topics, one)
	return n.topics.CreatePartitions(n.t.Context(), req).Topics[0]
}

func TestCreatePartitions(t *testing.T) {
	n := startNode(t, nil, 0, 1)
	n.create(1, placed("a", []int32{1}))
	require.Equal(t, int16(0), n.grow("a", 4).ErrorCode)
	topic, _ := n.cache.Snapshot().Topic("a")
	require.Len(t, topic.Partitions, 4)
	stored, _, err := n.zk.TopicAssignment(t.Context(), "a")
	require.NoError(t, err)
	var leaders []model.BrokerID
	for i := range int32(4) {
		leaders = append(leaders, stored.Partitions[i].Replicas[0])
	}
	require.Equal(t, []model.BrokerID{1, 0, 1, 0}, leaders, "they go on round the brokers")
	require.Equal(t, topic.ID, stored.ID)
	require.Equal(t, int16(0), n.grow("a", 5, []int32{1}).ErrorCode)

	for _, tc := range []struct {
		name       string
		count      int32
		assignment [][]int32
		code       int16
		text       string
	}{
		{"nothere", 3, nil, kerr.UnknownTopicOrPartition.Code, "The topic 'nothere' does not exist."},
		{"a", 2, nil, kerr.InvalidPartitions.Code, "Topic currently has 5 partitions, which is higher than the requested 2."},
		{"a", 5, nil, kerr.InvalidPartitions.Code, "Topic already has 5 partitions."},
		{"a", 6, [][]int32{{9}}, kerr.InvalidReplicaAssignment.Code, "Unknown broker(s) in replica assignment: 9."},
		{"a", 6, [][]int32{{0}, {1}}, kerr.InvalidReplicaAssignment.Code, "Increasing the number of partitions by 1 but 2 assignments provided."},
		{"a", 6, [][]int32{{}}, kerr.InvalidReplicaAssignment.Code, "Cannot have replication factor of 0 for partition id 5."},
		{"a", 6, [][]int32{{1, 1}}, kerr.InvalidReplicaAssignment.Code, "Duplicate brokers not allowed in replica assignment: 1, 1 for partition id 5."},
		{"a", 6, [][]int32{{1, 0}}, kerr.InvalidReplicaAssignment.Code, "Inconsistent replication factor between partitions, partition 0 has 1 while partitions [5] have replication factors [2], respectively."},
	} {
		one := n.grow(tc.name, tc.count, tc.assignment...)
		require.Equal(t, tc.text, text(one.ErrorMessage))
		require.Equal(t, tc.code, one.ErrorCode)
	}

	req := kmsg.NewPtrCreatePartitionsRequest()
	req.TimeoutMillis = 1000
	req.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "a", Count: 9}, {Topic: "a", Count: 10}}
	resp := n.topics.CreatePartitions(t.Context(), req)
	require.Len(t, resp.Topics, 1)
	require.Equal(t, "Duplicate topic in request.", text(resp.Topics[0].ErrorMessage))
}

// standby is a controller that is not active.
type standby struct{ admin.ControllerState }

func (standby) IsActive() bool { return false }

func TestNotController(t *testing.T) {
	n := startNode(t, nil, 0)
	n.topics.Controller = standby{}
	one := n.create(5, newTopic("a", 1, 1)).Topics[0]
	require.Equal(t, kerr.NotController.Code, one.ErrorCode)
	require.Nil(t, one.ErrorMessage)
	require.Equal(t, []int16{kerr.NotController.Code}, n.remove(1, "a"))
	require.Equal(t, kerr.NotController.Code, n.grow("a", 2).ErrorCode)
}

func TestAutoCreate(t *testing.T) {
	n := startNode(t, map[string]string{"transaction.state.log.replication.factor": "3"}, 0)
	errs := n.topics.AutoCreate(t.Context(), []string{"auto", "b d", "auto"})
	require.Equal(t, []error{kerr.LeaderNotAvailable, kerr.InvalidTopicException, kerr.LeaderNotAvailable}, errs)
	within(t, "made", func() bool { topic, ok := n.cache.Snapshot().Topic("auto"); return ok && len(topic.Partitions) == 2 })

	require.NoError(t, n.topics.CreateInternal(t.Context(), model.GroupMetadataTopic))
	require.NoError(t, n.topics.CreateInternal(t.Context(), model.GroupMetadataTopic))
	settings, err := n.zk.EntityConfig(t.Context(), zkstore.EntityTopics, model.GroupMetadataTopic)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"compression.type": "producer", "cleanup.policy": "compact", "segment.bytes": "104857600"}, settings)

	for range 10 {
		err = n.topics.CreateInternal(t.Context(), model.TransactionStateTopic)
		require.Equal(t, kerr.InvalidReplicationFactor.Code, kerr.Code(err))
	}
	require.Equal(t, 1, strings.Count(n.logged(), "Number of alive brokers"), "clients ask again and again")
	require.Contains(t, n.logged(), "ERROR Number of alive brokers '1' does not meet the required replication factor '3' for auto creation of topic '__transaction_state' "+
		"which is configured by transaction.state.log.replication.factor. This error can be ignored if the cluster is starting up and not all brokers are up yet. (kafka.server.DefaultAutoTopicCreationManager)")
}

// BenchmarkCreateTopic makes topics one by one, as the API does.
func BenchmarkCreateTopic(b *testing.B) {
	n := startNode(b, nil, 0)
	i := 0
	for b.Loop() {
		i++
		if resp := n.create(5, newTopic("t"+string(rune('a'+i%26))+time.Now().Format("150405.000000000"), 1, 1)); resp.Topics[0].ErrorCode != 0 {
			b.Fatal(text(resp.Topics[0].ErrorMessage))
		}
	}
}
