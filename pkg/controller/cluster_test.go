package controller

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"gregor/pkg/config"
	"gregor/pkg/kerr"
	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/protocol"
	"gregor/pkg/zkstore"
	"gregor/pkg/zookeeper/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// within fails the test when ok does not come true soon.
func within(t testing.TB, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 15*time.Second, 2*time.Millisecond, what)
}

func startZooKeeper(t testing.TB) string {
	t.Helper()
	s, err := server.Start(context.Background(), server.Config{DataDir: t.TempDir(), ClientPortAddress: "127.0.0.1",
		TickTime: 20 * time.Millisecond, MinSessionTimeout: 100 * time.Millisecond, MaxSessionTimeout: time.Minute, NoForceSync: true})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s.Addr()
}

func openStore(t testing.TB, connect string, timeout time.Duration) *zkstore.Store {
	t.Helper()
	s, err := zkstore.Open(context.Background(), zkstore.Options{Connect: connect, SessionTimeout: timeout, ConnectionTimeout: 10 * time.Second, Name: "Kafka server"})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	require.NoError(t, s.CreateTopLevelPaths(context.Background()))
	return s
}

// node is a broker: a session, a registration, a controller, and a listener
// that notes the controller's requests and answers them without error.
type node struct {
	t          testing.TB
	id         model.BrokerID
	zk         *zkstore.Store
	controller *Controller
	listener   net.Listener
	done       sync.WaitGroup

	mute atomic.Bool // requests are not noted

	mu    sync.Mutex
	seen  []string
	conns map[net.Conn]bool
}

func startNode(t testing.TB, connect string, id model.BrokerID, change ...func(*Options)) *node {
	t.Helper()
	return startNodeWithin(t, connect, id, 400*time.Millisecond, change...)
}

// startNodeWithin starts one with a session timeout.
func startNodeWithin(t testing.TB, connect string, id model.BrokerID, session time.Duration, change ...func(*Options)) *node {
	t.Helper()
	n := &node{t: t, id: id, conns: map[net.Conn]bool{}, zk: openStore(t, connect, session)}
	n.listen("127.0.0.1:0")
	n.register()
	n.zk.OnSession(zkstore.SessionHandler{AfterNewSession: n.register})
	opts := Options{ID: id, InterBrokerListener: "PLAINTEXT", Versions: VersionsFor(config.IBP_2_8_IV1), DeleteTopicEnable: true,
		SocketTimeout: 5 * time.Second, Loggers: logging.Discard()}
	for _, f := range change {
		f(&opts)
	}
	n.controller = New(n.zk, opts)
	n.controller.Start()
	t.Cleanup(n.stop)
	return n
}

// stop ends the broker as a clean shutdown does.
func (n *node) stop() {
	n.controller.Shutdown()
	n.zk.Close()
	n.unlisten()
}

func (n *node) register() {
	addr := n.listener.Addr().(*net.TCPAddr)
	_, err := n.zk.RegisterBroker(context.Background(), zkstore.BrokerInfo{JMXPort: -1, Broker: model.Broker{ID: n.id,
		Endpoints: []model.Endpoint{{Listener: "PLAINTEXT", Host: "127.0.0.1", Port: int32(addr.Port)}}}})
	if err != nil {
		n.t.Errorf("registering broker %d: %v", n.id, err)
	}
}

func (n *node) listen(address string) {
	l, err := net.Listen("tcp", address)
	require.NoError(n.t, err)
	n.listener = l
	n.done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.mu.Lock()
			n.conns[c] = true
			n.mu.Unlock()
			n.done.Go(func() { n.serve(c) })
		}
	})
}

// unlisten closes the listener and all connections.
func (n *node) unlisten() {
	n.listener.Close()
	n.mu.Lock()
	for c := range n.conns {
		c.Close()
	}
	n.mu.Unlock()
	n.done.Wait()
}

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
		if !n.mute.Load() {
			n.mu.Lock()
			n.seen = append(n.seen, describeRequest(req))
			n.mu.Unlock()
		}
		resp := respond(req, 0, func(string, int32) int16 { return 0 })
		resp.SetVersion(header.Version)
		answer := resp.AppendTo(protocol.AppendResponseHeader(nil, header))
		c.Write(binary.BigEndian.AppendUint32(nil, uint32(len(answer))))
		c.Write(answer)
	}
}

// saw reports whether a request with all these words came.
func (n *node) saw(words ...string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, line := range n.seen {
		all := true
		for _, word := range words {
			all = all && strings.Contains(line, word)
		}
		if all {
			return true
		}
	}
	return false
}

// createTopic writes a topic as a tool of Kafka 2.8 does: without an id.
func createTopic(t testing.TB, zk *zkstore.Store, name string, assignment map[int32][]model.BrokerID) {
	t.Helper()
	a := zkstore.TopicAssignment{Partitions: map[int32]zkstore.ReplicaAssignment{}}
	for partition, replicas := range assignment {
		a.Partitions[partition] = zkstore.ReplicaAssignment{Replicas: replicas}
	}
	require.NoError(t, zk.CreateTopic(context.Background(), name, a, nil))
}

func stateOf(t testing.TB, zk *zkstore.Store, tp model.TopicPartition) (zkstore.PartitionState, bool) {
	t.Helper()
	states, err := zk.PartitionStates(context.Background(), []model.TopicPartition{tp})
	require.NoError(t, err)
	s, ok := states[tp]
	return s, ok
}

func TestElectionCreationAndFailOver(t *testing.T) {
	connect := startZooKeeper(t)
	tool := openStore(t, connect, 10*time.Second)
	one := startNode(t, connect, 1)
	within(t, "elected", one.controller.IsActive)
	two := startNode(t, connect, 2)
	within(t, "both are known", func() bool { return two.saw("UpdateMetadata", "brokers 1 2") })
	within(t, "the second knows the first", func() bool { return two.controller.ControllerID() == 1 })
	require.False(t, two.controller.IsActive())
	require.Equal(t, model.ControllerEpoch(1), one.controller.Epoch())

	feature, found, err := tool.Feature(t.Context())
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, zkstore.FeaturesEnabled, feature.Status)

	createTopic(t, tool, "a", map[int32][]model.BrokerID{0: {1, 2}, 1: {2}})
	a0, a1 := model.TopicPartition{Topic: "a"}, model.TopicPartition{Topic: "a", Partition: 1}
	within(t, "the leader hears", func() bool { return one.saw("LeaderAndIsr v5", "a-0 leader 1/0 isr [1 2]", "new") })
	within(t, "the follower hears", func() bool { return two.saw("LeaderAndIsr v5", "a-0 leader 1/0", "a-1 leader 2/0") })
	within(t, "all hear", func() bool { return one.saw("UpdateMetadata v7", "a-0 leader 1/0", "a-1 leader 2/0") })
	topic, found, err := tool.TopicAssignment(t.Context(), "a")
	require.NoError(t, err)
	require.True(t, found)
	require.False(t, topic.ID.IsZero(), "the controller gives an id")
	state, _ := stateOf(t, tool, a1)
	require.Equal(t, zkstore.PartitionState{Leader: 2, ISR: []model.BrokerID{2}, ControllerEpoch: 1}, state)

	// The controller stops, and leads a-0: the other one takes over both.
	one.stop()
	within(t, "taken over", two.controller.IsActive)
	require.Equal(t, model.ControllerEpoch(2), two.controller.Epoch())
	within(t, "a-0 has another leader", func() bool {
		s, _ := stateOf(t, tool, a0)
		return s.Leader == 2
	})
	state, _ = stateOf(t, tool, a0)
	require.Equal(t, zkstore.PartitionState{Leader: 2, ISR: []model.BrokerID{2}, ControllerEpoch: 2, LeaderEpoch: 2, ZkVersion: 2}, state,
		"once for the ISR, once for the leader, as in Kafka")
}

func TestPartitionsAddedAndTopicDeleted(t *testing.T) {
	connect := startZooKeeper(t)
	tool := openStore(t, connect, 10*time.Second)
	one, two := startNode(t, connect, 1), startNode(t, connect, 2)
	within(t, "both are known", func() bool { return one.saw("brokers 1 2") && two.saw("brokers 1 2") })
	createTopic(t, tool, "a", map[int32][]model.BrokerID{0: {1}})
	within(t, "created", func() bool { return one.saw("LeaderAndIsr", "a-0") })

	a, _, err := tool.TopicAssignment(t.Context(), "a")
	require.NoError(t, err)
	a.Partitions[1] = zkstore.ReplicaAssignment{Replicas: []model.BrokerID{2}}
	require.NoError(t, tool.SetTopicAssignment(t.Context(), "a", a, zkstore.NoFence))
	within(t, "added", func() bool { return two.saw("LeaderAndIsr", "a-1 leader 2/0", "new") })

	require.NoError(t, tool.MarkTopicForDeletion(t.Context(), "a"))
	within(t, "gone", func() bool {
		exists, err := tool.TopicExists(t.Context(), "a")
		require.NoError(t, err)
		marked, err := tool.IsMarkedForDeletion(t.Context(), "a")
		require.NoError(t, err)
		return !exists && !marked
	})
	require.True(t, one.saw("StopReplica v3", "a-0 epoch -2 delete"))
	require.True(t, two.saw("StopReplica v3", "a-1 epoch -2 delete"))
	require.True(t, one.saw("UpdateMetadata", "a-0 leader -2/0", "a-1 leader -2/0"))
	configs, err := tool.EntityNames(t.Context(), zkstore.EntityTopics)
	require.NoError(t, err)
	require.Empty(t, configs)

	// The name is free again.
	createTopic(t, tool, "a", map[int32][]model.BrokerID{0: {2}})
	within(t, "created again", func() bool { return two.saw("LeaderAndIsr", "a-0 leader 2/0", "new") })

	// Taken away by hand, and made once more.
	require.NoError(t, tool.DeleteTopicTree(t.Context(), "a", zkstore.NoFence))
	active := one
	if two.controller.IsActive() {
		active = two
	}
	within(t, "forgotten", func() bool {
		_, found, err := active.controller.TopicName(t.Context(), a.ID)
		return err == nil && !found && !known(t, active.controller, "a")
	})
	createTopic(t, tool, "a", map[int32][]model.BrokerID{0: {1}})
	within(t, "created a third time", func() bool {
		return one.saw("LeaderAndIsr", "a-0 leader 1/0", "new") && known(t, active.controller, "a")
	})
}

func known(t testing.TB, c *Controller, topic string) (found bool) {
	t.Helper()
	require.NoError(t, c.ask(t.Context(), "test", func(m *machine) error {
		found = m.c.topics[topic] != nil
		return nil
	}))
	return found
}

func TestControlledShutdown(t *testing.T) {
	connect := startZooKeeper(t)
	tool := openStore(t, connect, 10*time.Second)
	one := startNode(t, connect, 1)
	within(t, "elected", one.controller.IsActive)
	two := startNode(t, connect, 2)
	within(t, "both are known", func() bool { return one.saw("brokers 1 2") && two.saw("brokers 1 2") })
	createTopic(t, tool, "a", map[int32][]model.BrokerID{0: {2, 1}, 1: {2}})
	within(t, "created", func() bool { return two.saw("LeaderAndIsr", "a-0 leader 2/0") })

	_, err := two.controller.ControlledShutdown(t.Context(), 2, model.NoBrokerEpoch)
	require.Equal(t, kerr.StaleControllerEpoch.Code, kerr.Code(err), "not the controller")
	_, err = one.controller.ControlledShutdown(t.Context(), 9, 1)
	require.Equal(t, kerr.BrokerNotAvailable.Code, kerr.Code(err))
	_, err = one.controller.ControlledShutdown(t.Context(), 2, 1)
	require.Equal(t, kerr.StaleBrokerEpoch.Code, kerr.Code(err))
	left, err := one.controller.ControlledShutdown(t.Context(), 2, model.NoBrokerEpoch)
	require.NoError(t, err)
	require.Empty(t, left)
	state, _ := stateOf(t, tool, model.TopicPartition{Topic: "a"})
	require.Equal(t, zkstore.PartitionState{Leader: 1, ISR: []model.BrokerID{1}, ControllerEpoch: 1, LeaderEpoch: 1, ZkVersion: 1}, state)
}

// TestFencedControllerResigns lets somebody take /controller away.
func TestFencedControllerResigns(t *testing.T) {
	connect := startZooKeeper(t)
	tool := openStore(t, connect, 10*time.Second)
	one := startNode(t, connect, 1)
	within(t, "elected", one.controller.IsActive)
	_, fence, _, err := tool.ControllerEpoch(t.Context())
	require.NoError(t, err)
	require.NoError(t, tool.ResignController(t.Context(), fence))
	within(t, "elected again", func() bool { return one.controller.Epoch() == 2 })
	createTopic(t, tool, "a", map[int32][]model.BrokerID{0: {1}})
	within(t, "works", func() bool { return one.saw("LeaderAndIsr", "a-0 leader 1/0") })
	state, _ := stateOf(t, tool, model.TopicPartition{Topic: "a"})
	require.Equal(t, model.ControllerEpoch(2), state.ControllerEpoch)
}

// TestBrokerOutOfReach closes a broker's port while requests for it are made:
// they arrive, in order, when it is open again.
func TestBrokerOutOfReach(t *testing.T) {
	connect := startZooKeeper(t)
	tool := openStore(t, connect, 10*time.Second)
	one := startNode(t, connect, 1)
	within(t, "elected", one.controller.IsActive)
	two := startNode(t, connect, 2)
	within(t, "both are known", func() bool { return two.saw("brokers 1 2") })
	address := two.listener.Addr().String()
	two.unlisten()
	createTopic(t, tool, "a", map[int32][]model.BrokerID{0: {2}})
	createTopic(t, tool, "b", map[int32][]model.BrokerID{0: {2}})
	within(t, "written", func() bool {
		_, a := stateOf(t, tool, model.TopicPartition{Topic: "a"})
		_, b := stateOf(t, tool, model.TopicPartition{Topic: "b"})
		return a && b
	})
	two.mu.Lock()
	two.seen = nil
	two.mu.Unlock()
	two.listen(address)
	within(t, "arrived", func() bool {
		return two.saw("UpdateMetadata", "b-0 leader 2/0") || two.saw("UpdateMetadata", "a-0", "b-0")
	})
	two.mu.Lock()
	defer two.mu.Unlock()
	require.True(t, strings.HasPrefix(two.seen[0], "LeaderAndIsr"), "%v", two.seen)
}

// relay passes bytes to ZooKeeper and can cut everything off.
type relay struct {
	net.Listener
	target string
	done   sync.WaitGroup

	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func startRelay(t testing.TB, target string) *relay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &relay{Listener: l, target: target}
	r.done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.pass(c)
		}
	})
	t.Cleanup(func() { l.Close(); r.setCut(true); r.done.Wait() })
	return r
}

func (r *relay) pass(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	up, err := net.Dial("tcp", r.target)
	if r.cut || err != nil {
		c.Close()
		if err == nil {
			up.Close()
		}
		return
	}
	r.conns = append(r.conns, c, up)
	for _, pair := range [][2]net.Conn{{c, up}, {up, c}} {
		r.done.Go(func() { io.Copy(pair[0], pair[1]); pair[0].Close() })
	}
}

func (r *relay) setCut(cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = cut
	if cut {
		for _, c := range r.conns {
			c.Close()
		}
		r.conns = nil
	}
}

// TestSessionExpiry cuts the controller off from ZooKeeper until its session
// is over: the other broker takes over, and when the connection is back the
// first one is a broker like any other.
func TestSessionExpiry(t *testing.T) {
	connect := startZooKeeper(t)
	tool := openStore(t, connect, 10*time.Second)
	way := startRelay(t, connect)
	one := startNode(t, way.Addr().String(), 1)
	within(t, "elected", one.controller.IsActive)
	two := startNode(t, connect, 2)
	within(t, "both are known", func() bool { return two.saw("brokers 1 2") })
	createTopic(t, tool, "a", map[int32][]model.BrokerID{0: {1, 2}})
	within(t, "created", func() bool { return two.saw("LeaderAndIsr", "a-0 leader 1/0") })

	way.setCut(true)
	within(t, "the other takes over", two.controller.IsActive)
	within(t, "the first resigned", func() bool { return !one.controller.IsActive() })
	require.ErrorIs(t, one.controller.ask(t.Context(), "test", func(*machine) error { return nil }), kerr.NotController)
	within(t, "a-0 moved", func() bool {
		s, _ := stateOf(t, tool, model.TopicPartition{Topic: "a"})
		return s.Leader == 2
	})
	way.setCut(false)
	within(t, "the first is told", func() bool { return one.saw("LeaderAndIsr", "a-0 leader 2/2") })
	require.False(t, one.controller.IsActive())
	within(t, "it knows the controller", func() bool { return one.controller.ControllerID() == 2 })
	require.Equal(t, model.ControllerEpoch(2), two.controller.Epoch())
}

// TestWriteAfterTakeOverIsRefused gives a fence that is one epoch old.
func TestWriteAfterTakeOverIsRefused(t *testing.T) {
	connect := startZooKeeper(t)
	one := openStore(t, connect, 10*time.Second)
	_, fence, err := one.RegisterController(t.Context(), 1)
	require.NoError(t, err)
	require.NoError(t, one.ResignController(t.Context(), fence))
	_, _, err = one.RegisterController(t.Context(), 2)
	require.NoError(t, err)
	old := &zkStore{ctx: t.Context(), zk: one, fence: fence, log: newLines(logging.Discard(), 1).controller}
	_, err = old.CreateStates(map[model.TopicPartition]LeaderISR{{Topic: "a"}: {Leader: 1}})
	require.ErrorIs(t, err, zkstore.ErrControllerMoved)
	require.ErrorIs(t, old.SetTopicAssignment("a", TopicAssignment{}), zkstore.ErrControllerMoved)
	require.ErrorIs(t, old.RemoveTopicDeletions([]string{"a"}), zkstore.ErrControllerMoved)
	require.ErrorIs(t, old.DeleteTopic("a"), zkstore.ErrControllerMoved)
}
