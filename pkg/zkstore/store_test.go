package zkstore_test

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

var ctx = context.Background()

// logText collects log lines without their dates.
type logText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logText) lines(contains ...string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []string
	for _, line := range strings.Split(l.b.String(), "\n") {
		_, line, _ = strings.Cut(line, "] ")
		for _, part := range contains {
			if strings.Contains(line, part) {
				lines = append(lines, line)
				break
			}
		}
	}
	return lines
}

func TestOpenMakesTheChrootInASessionOfItsOwn(t *testing.T) {
	zk := zookeeper(t)
	var log logText
	s := open(t, zk.Addr()+"/ch/root", func(o *zkstore.Options) {
		o.CreateChroot, o.Loggers = true, logging.New(&log)
	})
	require.NoError(t, s.CreateTopLevelPaths(ctx))
	s.Close()
	require.Equal(t, []string{
		"INFO [ZooKeeperClient Kafka server] Initializing a new session to " + zk.Addr() + ". (kafka.zookeeper.ZooKeeperClient)",
		"INFO [ZooKeeperClient Kafka server] Waiting until connected. (kafka.zookeeper.ZooKeeperClient)",
		"INFO [ZooKeeperClient Kafka server] Connected. (kafka.zookeeper.ZooKeeperClient)",
		"INFO Created zookeeper path /ch/root (kafka.server.KafkaServer)",
		"INFO [ZooKeeperClient Kafka server] Closing. (kafka.zookeeper.ZooKeeperClient)",
		"INFO [ZooKeeperClient Kafka server] Closed. (kafka.zookeeper.ZooKeeperClient)",
		"INFO [ZooKeeperClient Kafka server] Initializing a new session to " + zk.Addr() + "/ch/root. (kafka.zookeeper.ZooKeeperClient)",
		"INFO [ZooKeeperClient Kafka server] Waiting until connected. (kafka.zookeeper.ZooKeeperClient)",
		"INFO [ZooKeeperClient Kafka server] Connected. (kafka.zookeeper.ZooKeeperClient)",
		"INFO [ZooKeeperClient Kafka server] Closing. (kafka.zookeeper.ZooKeeperClient)",
		"INFO [ZooKeeperClient Kafka server] Closed. (kafka.zookeeper.ZooKeeperClient)",
	}, log.lines("ZooKeeperClient)", "KafkaServer)"))
	require.Len(t, log.lines("Session establishment complete on server"), 2)
	require.Len(t, log.lines("EventThread shut down for session: 0x"), 2)

	raw := openRaw(t, zk.Addr())
	require.Equal(t, []string{
		"/", "/ch", "/ch/root", "/ch/root/admin", "/ch/root/admin/delete_topics", "/ch/root/brokers", "/ch/root/brokers/ids",
		"/ch/root/brokers/seqid", "/ch/root/brokers/topics", "/ch/root/config", "/ch/root/config/brokers", "/ch/root/config/changes",
		"/ch/root/config/clients", "/ch/root/config/ips", "/ch/root/config/topics", "/ch/root/config/users", "/ch/root/consumers",
		"/ch/root/isr_change_notification", "/ch/root/latest_producer_id_block", "/ch/root/log_dir_event_notification",
	}, tree(t, raw, "/"))
}

func TestOpenGivesUpAfterTheConnectionTimeout(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and stays silent
	require.NoError(t, err)
	defer listener.Close()
	begin := time.Now()
	_, err = zkstore.Open(ctx, zkstore.Options{Connect: listener.Addr().String(), SessionTimeout: 300 * time.Millisecond})
	require.EqualError(t, err, "Timed out waiting for connection while in state: CONNECTING")
	require.Less(t, time.Since(begin), 5*time.Second)

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = zkstore.Open(cancelled, zkstore.Options{Connect: listener.Addr().String()})
	require.ErrorIs(t, err, context.Canceled)
	_, err = zkstore.Open(ctx, zkstore.Options{Connect: ""})
	require.ErrorContains(t, err, "names no ZooKeeper server")
}

func TestASilentServerIsLeftForTheNext(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	zk := zookeeper(t)
	begin := time.Now()
	open(t, silent.Addr().String()+","+zk.Addr(), sessionTimeout(3*time.Second))
	require.Less(t, time.Since(begin), 2*time.Second, "a third of the session timeout, not ten times it")
}

func TestClusterAndIDs(t *testing.T) {
	zk := zookeeper(t)
	s := open(t, zk.Addr())
	_, found, err := s.ClusterID(ctx)
	require.NoError(t, err)
	require.False(t, found)
	for _, proposed := range []string{"first", "second"} {
		id, err := s.CreateOrGetClusterID(ctx, proposed)
		require.NoError(t, err)
		require.Equal(t, "first", id)
	}
	for want := model.BrokerID(1001); want < 1004; want++ {
		id, err := s.GenerateBrokerID(ctx, 1000)
		require.NoError(t, err)
		require.Equal(t, want, id)
	}
	require.NotZero(t, s.SessionID())
	require.Equal(t, 10*time.Second, s.SessionTimeout())
	require.True(t, s.Connected())
	require.Equal(t, "CONNECTED", s.State())
}

func broker(id model.BrokerID) zkstore.BrokerInfo {
	return zkstore.BrokerInfo{JMXPort: -1, Broker: model.Broker{ID: id, Endpoints: []model.Endpoint{{Listener: "PLAINTEXT", Host: "h", Port: 9092 + int32(id)}}}}
}

func TestBrokerRegistration(t *testing.T) {
	zk := zookeeper(t)
	var log logText
	s := open(t, zk.Addr(), func(o *zkstore.Options) { o.Loggers = logging.New(&log) })
	require.NoError(t, s.CreateTopLevelPaths(ctx))
	epoch, err := s.RegisterBroker(ctx, broker(0))
	require.NoError(t, err)
	raw := openRaw(t, zk.Addr())
	data, stat, err := raw.Get(ctx, "/brokers/ids/0", false)
	require.NoError(t, err)
	require.Contains(t, string(data), `"endpoints":["PLAINTEXT://h:9092"]`)
	require.Equal(t, int64(epoch), stat.Czxid)
	require.Equal(t, stat.Czxid, stat.Mzxid)
	require.EqualValues(t, 1, stat.Version)
	require.Equal(t, s.SessionID(), stat.EphemeralOwner)
	require.Len(t, log.lines("Creating /brokers/ids/0 (is it secure? false) (kafka.zk.KafkaZkClient)"), 1)
	require.Len(t, log.lines("Registered broker 0 at path /brokers/ids/0 with addresses: PLAINTEXT://h:9092, czxid (broker epoch): "), 1)

	again, err := s.RegisterBroker(ctx, broker(0)) // the same session owns it
	require.NoError(t, err)
	require.Equal(t, epoch, again)

	other := open(t, zk.Addr(), func(o *zkstore.Options) { o.Loggers = logging.New(&log) })
	_, err = other.RegisterBroker(ctx, broker(0))
	require.EqualError(t, err, "KeeperErrorCode = NodeExists for /brokers/ids/0")
	require.ErrorIs(t, err, zkstore.ErrNodeExists)
	require.Len(t, log.lines("ERROR Error while creating ephemeral at /brokers/ids/0, node already exists and owner '"), 1)

	_, err = other.RegisterBroker(ctx, broker(11))
	require.NoError(t, err)
	ids, err := s.BrokerIDs(ctx)
	require.NoError(t, err)
	require.Equal(t, []model.BrokerID{0, 11}, ids)
	brokers, err := s.Brokers(ctx)
	require.NoError(t, err)
	require.Len(t, brokers, 2)
	require.Equal(t, epoch, brokers[0].Epoch)

	changed := broker(0)
	changed.Endpoints[0].Port = 1
	require.NoError(t, s.UpdateBroker(ctx, changed))
	got, found, err := s.Broker(ctx, 0)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, int32(1), got.Endpoints[0].Port)
	require.Equal(t, epoch, got.Epoch)

	other.Close() // takes its nodes along
	_, found, err = s.Broker(ctx, 11)
	require.NoError(t, err)
	require.False(t, found)

	_, err = raw.Create(ctx, "/brokers/ids/5", []byte("junk"), 0, world())
	require.NoError(t, err)
	brokers, err = s.Brokers(ctx)
	require.ErrorIs(t, err, zkstore.ErrBadData)
	require.ErrorContains(t, err, "/brokers/ids/5")
	require.Len(t, brokers, 1)

	// Nor does a name that is no id hide the brokers: a controller would take
	// them all for dead.
	_, err = raw.Create(ctx, "/brokers/ids/note", nil, 0, world())
	require.NoError(t, err)
	brokers, err = s.Brokers(ctx)
	require.ErrorIs(t, err, zkstore.ErrBadData)
	require.ErrorContains(t, err, "/brokers/ids/note")
	require.Len(t, brokers, 1)
	ids, err = s.BrokerIDs(ctx)
	require.ErrorIs(t, err, zkstore.ErrBadData)
	require.Equal(t, []model.BrokerID{0, 5}, ids)
}

// A broker killed without a goodbye and started again within its session
// takes over what its former process left, and nobody else does.
func TestQuickRestartTakesOver(t *testing.T) {
	zk := zookeeper(t)
	through := newProxy(t, zk.Addr())
	var kept int64
	keep := func(o *zkstore.Options) { o.OnSessionID = func(id int64) { kept = id } }
	killed := open(t, through.addr(), keep)
	require.NoError(t, killed.CreateTopLevelPaths(ctx))
	first, err := killed.RegisterBroker(ctx, broker(0))
	require.NoError(t, err)
	_, _, err = killed.RegisterController(ctx, 0)
	require.NoError(t, err)
	former := kept
	require.Equal(t, killed.SessionID(), former)
	through.silent.Store(true) // dead, as far as the server can tell

	stranger := open(t, zk.Addr())
	_, err = stranger.RegisterBroker(ctx, broker(0))
	require.ErrorIs(t, err, zkstore.ErrNodeExists)
	id, err := stranger.ControllerID(ctx)
	require.NoError(t, err)
	require.Equal(t, model.BrokerID(0), id)

	again := open(t, zk.Addr(), keep, func(o *zkstore.Options) { o.PreviousSessionID = former })
	second, err := again.RegisterBroker(ctx, broker(0))
	require.NoError(t, err)
	require.Greater(t, second, first)
	id, err = again.ControllerID(ctx)
	require.NoError(t, err)
	require.Equal(t, model.NoBroker, id, "the node of the former session counts as none")
	epoch, _, err := again.RegisterController(ctx, 0)
	require.NoError(t, err)
	require.Equal(t, model.ControllerEpoch(2), epoch)
	id, err = again.ControllerID(ctx)
	require.NoError(t, err)
	require.Equal(t, model.BrokerID(0), id)
	require.Equal(t, again.SessionID(), kept)
}

func TestControllerElectionAndFencing(t *testing.T) {
	zk := zookeeper(t)
	a, b := open(t, zk.Addr()), open(t, zk.Addr())
	require.NoError(t, a.CreateTopLevelPaths(ctx))
	id, err := a.ControllerID(ctx)
	require.NoError(t, err)
	require.Equal(t, model.NoBroker, id)
	_, _, found, err := a.ControllerEpoch(ctx)
	require.NoError(t, err)
	require.False(t, found)

	epoch, fenceA, err := a.RegisterController(ctx, 1)
	require.NoError(t, err)
	require.Equal(t, model.ControllerEpoch(1), epoch)
	require.Equal(t, zkstore.Fence(1), fenceA)
	_, _, err = b.RegisterController(ctx, 2)
	require.ErrorIs(t, err, zkstore.ErrControllerMoved)
	id, err = b.ControllerID(ctx)
	require.NoError(t, err)
	require.Equal(t, model.BrokerID(1), id)

	require.NoError(t, a.ResignController(ctx, fenceA))
	require.NoError(t, a.ResignController(ctx, fenceA))
	epoch, fenceB, err := b.RegisterController(ctx, 2)
	require.NoError(t, err)
	require.Equal(t, model.ControllerEpoch(2), epoch)

	// Nothing that the old controller writes gets through.
	tp := model.TopicPartition{Topic: "t", Partition: 0}
	states := map[model.TopicPartition]zkstore.PartitionState{tp: {Leader: 1, ISR: []model.BrokerID{1}, ControllerEpoch: 1}}
	assignment := zkstore.TopicAssignment{Partitions: map[int32]zkstore.ReplicaAssignment{0: {Replicas: []model.BrokerID{1}}}}
	require.NoError(t, a.CreateTopic(ctx, "t", assignment, nil))
	_, err = a.CreatePartitionStates(ctx, states, fenceA)
	require.ErrorIs(t, err, zkstore.ErrControllerMoved)
	_, _, err = a.UpdatePartitionStates(ctx, states, fenceA)
	require.ErrorIs(t, err, zkstore.ErrControllerMoved)
	require.ErrorIs(t, a.SetTopicAssignment(ctx, "t", assignment, fenceA), zkstore.ErrControllerMoved)
	require.ErrorIs(t, a.DeleteTopicTree(ctx, "t", fenceA), zkstore.ErrControllerMoved)
	require.ErrorIs(t, a.RemoveTopicDeletions(ctx, []string{"t"}, fenceA), zkstore.ErrControllerMoved)
	require.ErrorIs(t, a.DeleteTopicConfig(ctx, "t", fenceA), zkstore.ErrControllerMoved)
	require.ErrorIs(t, a.ResignController(ctx, fenceA), zkstore.ErrControllerMoved)
	require.ErrorIs(t, a.SetReassignPartitions(ctx, nil, fenceA), zkstore.ErrControllerMoved)
	require.ErrorIs(t, a.DeletePreferredElection(ctx, fenceA), zkstore.ErrControllerMoved)
	raw := openRaw(t, zk.Addr())
	require.Equal(t, []string{"/brokers/topics", "/brokers/topics/t"}, tree(t, raw, "/brokers/topics"))

	failed, err := b.CreatePartitionStates(ctx, states, fenceB)
	require.NoError(t, err)
	require.Empty(t, failed)
	require.NoError(t, b.SetTopicAssignment(ctx, "t", assignment, fenceB))
	got, fence, found, err := a.ControllerEpoch(ctx)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, model.ControllerEpoch(2), got)
	require.Equal(t, fenceB, fence)
}
