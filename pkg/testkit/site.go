package testkit

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/pkg/lifecycle"
	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/record"
	"gregor/pkg/zkstore"
)

// HistoryOptions say what happens in a history.
type HistoryOptions struct {
	Faults  int
	Weights map[string]int // of the kinds of faults; DefaultWeights when nil
	Session time.Duration  // zookeeper.session.timeout.ms of the brokers
	Topics  bool           // whether topics come and go meanwhile

	// Instead is done in the place of faults, with what the cluster is to
	// heal by: it waits until all replicas are in sync.
	Instead func(heal func())

	ReplicationFactor, MinInSync int // by the seed when 0
	Partitions                   int32
	Pace                         time.Duration // between two records of a writer; 5 ms when 0
	// Clients may be started by a test, beside those that there are: f gets
	// the history and is called before the first fault; what it returns is
	// called when everything has healed.
	Clients func(h *History, topic string, partitions int32) (finish func())
}

// healingMax is how long a cluster may take after the last fault until all
// replicas are in sync and all that was under way is acknowledged.
const healingMax = time.Minute

// HistoryTopic is the topic that a history is written to.
const HistoryTopic = "history"

// commitGroup is the group whose offsets are committed in a history.
const commitGroup = "history-group"

// site is a cluster with a history going on.
type site struct {
	t         testing.TB
	nodes     []Node
	zooKeeper ZooKeeperNode
	store     *zkstore.Store // past all links
	isDown    map[int]bool
	random    *rand.Rand
	options   HistoryOptions
	load      *load
	h         *History
	states    *States
	admin     *kadm.Client
	rf        int
}

// Seed is that of a random test: GREGOR_SEED of the environment, or a new one.
// It is shown, so that the test can be run with it again.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano()) % 1_000_000_007
	if text := os.Getenv("GREGOR_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("to repeat this: GREGOR_SEED=%d", seed)
	return seed
}

// RunHistory lets faults happen to a cluster while clients write and read,
// and checks in the end that nothing acknowledged was lost, changed, moved or
// doubled, that nothing went back, that all replicas are the same, and that
// all of it healed in time. zooKeeperAddress is a way to ZooKeeper on which no
// fault happens. It returns the history for a closer look.
func RunHistory(t testing.TB, seed uint64, nodes []Node, zooKeeper ZooKeeperNode, zooKeeperAddress string, o HistoryOptions) *History {
	t.Helper()
	s := newSite(t, seed, nodes, zooKeeper, zooKeeperAddress, o)
	observing := lifecycle.NewGroup(context.Background())
	observing.Go("observer", s.observe)
	if o.Topics {
		observing.Go("topics", s.topicsComeAndGo)
	}
	s.begin()
	finish := func() {}
	if o.Clients != nil {
		finish = o.Clients(s.h, HistoryTopic, s.options.Partitions)
	}
	if o.Instead != nil {
		o.Instead(s.awaitInSync)
	} else {
		s.happen(Schedule(seed, o.Faults, len(nodes), s.options.Session, s.options.Weights))
	}
	s.heal()
	finish()
	require.NoError(t, observing.Close())
	s.conclude()
	return s.h
}

func newSite(t testing.TB, seed uint64, nodes []Node, zooKeeper ZooKeeperNode, zooKeeperAddress string, o HistoryOptions) *site {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 2))
	safety := [][2]int{{3, 2}, {3, 1}, {2, 1}}[random.IntN(3)]
	o.ReplicationFactor = min(cmp.Or(o.ReplicationFactor, safety[0]), len(nodes))
	o.MinInSync = min(cmp.Or(o.MinInSync, safety[1]), o.ReplicationFactor)
	o.Partitions = cmp.Or(o.Partitions, 3)
	o.Pace = cmp.Or(o.Pace, 5*time.Millisecond)
	if o.Weights == nil {
		o.Weights = DefaultWeights()
	}
	store, err := zkstore.Open(context.Background(), zkstore.Options{Connect: zooKeeperAddress, SessionTimeout: 2 * time.Second, ConnectionTimeout: 20 * time.Second, Loggers: logging.Discard()})
	require.NoError(t, err)
	t.Cleanup(store.Close)
	s := &site{t: t, nodes: nodes, zooKeeper: zooKeeper, store: store, isDown: map[int]bool{}, random: random, options: o, h: NewHistory(), rf: o.ReplicationFactor}
	s.states = NewStates(s.h)
	var seeds []string
	for _, n := range nodes {
		seeds = append(seeds, n.Seed())
	}
	s.load = &load{t: t, h: s.h, seeds: seeds, topic: HistoryTopic, partitions: o.Partitions, pace: o.Pace,
		writing: lifecycle.NewGroup(context.Background()), others: lifecycle.NewGroup(context.Background())}
	s.admin = kadm.NewClient(s.load.client(kgo.RequestRetries(3)))
	t.Logf("replication factor %d, min.insync.replicas %d, %d partitions", s.rf, o.MinInSync, o.Partitions)
	return s
}

// begin creates the topic and starts the clients.
func (s *site) begin() {
	least := strconv.Itoa(s.options.MinInSync)
	Eventually(s.t, "the topic is created", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		answer, err := s.admin.CreateTopic(ctx, s.options.Partitions, int16(s.rf), map[string]*string{"min.insync.replicas": &least}, HistoryTopic)
		return err == nil && answer.Err == nil
	})
	s.awaitInSync()
	for i := range 3 {
		s.load.write(i+1, i < 2, rand.New(rand.NewPCG(uint64(i), 3)))
	}
	s.load.read("reader 1")
	s.load.read("reader 2", kgo.Rack("r1"))
	s.load.watchEnds("ends")
	s.load.commit(commitGroup)
}

// happen lets the faults happen one after another, some side by side.
func (s *site) happen(faults []Fault) {
	var mend, restart []func()
	undo := func() {
		// Who is started needs ZooKeeper, and its way to it.
		for _, f := range append(mend, restart...) {
			f()
		}
		mend, restart = nil, nil
	}
	for i, f := range faults {
		if !f.Beside {
			undo()
		}
		s.pause(f.Before)
		if s.h.Failed() {
			break
		}
		s.t.Logf("%s fault %d: %s", time.Now().Format("15:04:05.000"), i+1, f)
		back := s.apply(f)
		switch f.Kind {
		case FaultKill, FaultKillAll, FaultStop:
			restart = append(restart, back)
		default:
			mend = append(mend, back)
		}
		s.pause(f.Lasts)
	}
	undo()
}

func (s *site) pause(d time.Duration) { wait(context.Background(), d) }

// heal waits until everything is as if nothing had happened, with the load
// going on at first: it does not need rest to heal.
func (s *site) heal() {
	for _, n := range s.nodes {
		network, zooKeeper := n.Links()
		network.Mend()
		zooKeeper.Mend()
	}
	s.t.Logf("%s the faults are over", time.Now().Format("15:04:05.000"))
	s.awaitInSync()
	s.t.Logf("%s all replicas are in sync", time.Now().Format("15:04:05.000"))
	s.load.finish()
}

// awaitInSync waits until each partition of the topic is led and all its
// replicas are in sync.
func (s *site) awaitInSync() {
	s.t.Helper()
	var states map[model.TopicPartition]zkstore.PartitionState
	deadline := time.Now().Add(healingMax)
	for {
		var err error
		var assigned zkstore.TopicAssignment
		states, assigned, err = s.read(HistoryTopic)
		if err == nil && s.inSync(states, assigned) {
			return
		}
		if time.Now().After(deadline) {
			s.report()
			require.Fail(s.t, "not healed", "not all replicas are in sync after %s: %v %+v", healingMax, err, states)
		}
		s.pause(20 * time.Millisecond)
	}
}

func (s *site) inSync(states map[model.TopicPartition]zkstore.PartitionState, assigned zkstore.TopicAssignment) bool {
	if len(states) != int(s.options.Partitions) {
		return false
	}
	for tp, state := range states {
		r := assigned.Partitions[tp.Partition]
		if state.Leader < 0 || len(state.ISR) < s.rf || len(r.Adding) > 0 || len(r.Removing) > 0 || len(r.Replicas) != s.rf {
			return false
		}
	}
	return true
}

// read reads a topic's assignment and then its states.
func (s *site) read(topic string) (map[model.TopicPartition]zkstore.PartitionState, zkstore.TopicAssignment, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	assigned, found, err := s.store.TopicAssignment(ctx, topic)
	if err != nil || !found {
		return nil, assigned, err
	}
	var tps []model.TopicPartition
	for p := range assigned.Partitions {
		tps = append(tps, model.TopicPartition{Topic: topic, Partition: p})
	}
	states, err := s.store.PartitionStates(ctx, tps)
	return states, assigned, err
}

// observe looks at the states in ZooKeeper again and again.
func (s *site) observe(ctx context.Context) error {
	for ; ctx.Err() == nil; wait(ctx, 10*time.Millisecond) {
		before, _, err := s.store.TopicAssignment(ctx, HistoryTopic)
		if err != nil {
			continue
		}
		states, after, err := s.read(HistoryTopic)
		if err != nil {
			continue
		}
		for tp, state := range states {
			replicas := after.Partitions[tp.Partition].Replicas
			if !slices.Equal(before.Partitions[tp.Partition].Replicas, replicas) {
				replicas = nil // they are changing at this moment
			}
			s.states.See(tp, state, replicas)
		}
		if epoch, _, found, err := s.store.ControllerEpoch(ctx); err == nil && found {
			s.states.SeeController(epoch)
		}
	}
	return nil
}

// topicsComeAndGo creates and deletes topics. What was deleted is gone in the
// end, on every broker.
func (s *site) topicsComeAndGo(ctx context.Context) error {
	for i := 0; ctx.Err() == nil; i++ {
		topic := fmt.Sprintf("passing-%d", i)
		asking, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, _ = s.admin.CreateTopic(asking, 2, int16(s.rf), nil, topic) // whatever came of it is deleted
		wait(ctx, 200*time.Millisecond)
		_, _ = s.admin.DeleteTopic(asking, topic)
		cancel()
		wait(ctx, 200*time.Millisecond)
	}
	return nil
}

// electPreferred asks for the election of preferred leaders; what comes of it
// is the controller's affair.
func (s *site) electPreferred() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	partitions := kadm.TopicsSet{}
	for p := range s.options.Partitions {
		partitions.Add(HistoryTopic, p)
	}
	_, _ = s.admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, partitions)
}

// reassign gives one partition other replicas, or the same in another order.
func (s *site) reassign(f Fault) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var replicas []int32
	for _, id := range append(slices.Clone(f.Nodes), s.everybody()...) {
		if !slices.Contains(replicas, int32(id)) && len(replicas) < s.rf {
			replicas = append(replicas, int32(id))
		}
	}
	var moves kadm.AlterPartitionAssignmentsReq
	moves.Assign(HistoryTopic, int32(f.Nodes[0])%s.options.Partitions, replicas)
	_, _ = s.admin.AlterPartitionAssignments(ctx, moves) // it is refused when a replica is not alive
}

// conclude checks everything once the load has ended.
func (s *site) conclude() {
	s.t.Helper()
	s.awaitInSync()
	s.load.readAll(s.admin)
	s.load.readOffsets(s.admin, commitGroup)
	s.awaitSameReplicas()
	s.awaitDeleted()
	for _, n := range s.nodes {
		s.states.Leaderships(n.Output(), HistoryTopic)
	}
	s.h.Check()
	s.t.Logf("%d records acknowledged, %d changes of states seen", s.h.AckedRecords(), s.states.Changes())
	s.report()
}

// report fails the test when the history has problems.
func (s *site) report() {
	s.t.Helper()
	if problems := s.h.Problems(); len(problems) > 0 {
		s.t.Fatalf("the history shows %d problems:\n%s", len(problems), strings.Join(problems, "\n"))
	}
}

// awaitSameReplicas waits until the logs of all replicas are the same, byte
// for byte.
func (s *site) awaitSameReplicas() {
	s.t.Helper()
	_, assigned, err := s.read(HistoryTopic)
	require.NoError(s.t, err)
	for p, r := range assigned.Partitions {
		tp := model.TopicPartition{Topic: HistoryTopic, Partition: p}
		var problem string
		deadline := time.Now().Add(20 * time.Second)
		for problem = s.compare(tp, r.Replicas); problem != "" && time.Now().Before(deadline); problem = s.compare(tp, r.Replicas) {
			s.pause(50 * time.Millisecond)
		}
		if problem != "" {
			s.h.Problem("the replicas of %s are not the same: %s", tp, problem)
			continue
		}
		if problem := CheckLogBytes(LogBytes(s.t, s.nodes[r.Replicas[0]].LogDir(), tp)); problem != "" {
			s.h.Problem("the log of %s: %s", tp, problem)
		}
	}
}

func (s *site) compare(tp model.TopicPartition, replicas []model.BrokerID) string {
	first := LogBytes(s.t, s.nodes[replicas[0]].LogDir(), tp)
	for _, id := range replicas[1:] {
		other := LogBytes(s.t, s.nodes[id].LogDir(), tp)
		if !bytes.Equal(first, other) {
			at := 0
			for at < min(len(first), len(other)) && first[at] == other[at] {
				at++
			}
			return fmt.Sprintf("%d has %d bytes, %d has %d; they part at byte %d", replicas[0], len(first), id, len(other), at)
		}
	}
	return ""
}

// LogBytes is what the segments of a partition hold, one after another.
func LogBytes(t testing.TB, dir string, tp model.TopicPartition) []byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, tp.String(), "*.log"))
	require.NoError(t, err)
	slices.Sort(files)
	var all []byte
	for _, name := range files {
		content, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue // truncated away at this moment
		}
		require.NoError(t, err)
		all = append(all, content...)
	}
	return all
}

// CheckLogBytes tells what is wrong with a log of batches: offsets follow one
// another, leader epochs do not fall, checksums are right.
func CheckLogBytes(all []byte) string {
	next, epoch := int64(-1), int32(-1)
	for rest := all; len(rest) > 0; {
		batch, more, err := record.Split(rest)
		at := len(all) - len(rest)
		switch {
		case err != nil:
			return fmt.Sprintf("at byte %d: %v", at, err)
		case !batch.Valid():
			return fmt.Sprintf("at byte %d: the checksum is wrong", at)
		case next >= 0 && batch.BaseOffset() != next:
			return fmt.Sprintf("at byte %d: offset %d, want %d", at, batch.BaseOffset(), next)
		case batch.LeaderEpoch() < epoch:
			return fmt.Sprintf("at byte %d: leader epoch %d behind %d", at, batch.LeaderEpoch(), epoch)
		}
		next, epoch, rest = batch.LastOffset()+1, batch.LeaderEpoch(), more
	}
	return ""
}

// awaitDeleted deletes the topics that came and went, and waits until nothing
// is left of them.
func (s *site) awaitDeleted() {
	s.t.Helper()
	if !s.options.Topics {
		return
	}
	var left []string
	deadline := time.Now().Add(healingMax)
	for first := true; first || len(left) > 0; first = false {
		if time.Now().After(deadline) {
			s.h.Problem("still not deleted: %v", left)
			return
		}
		left = nil
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		topics, err := s.store.Topics(ctx)
		if err != nil {
			left = append(left, err.Error())
		}
		for _, topic := range topics {
			if strings.HasPrefix(topic, "passing-") {
				left = append(left, topic)
			}
		}
		if len(left) > 0 {
			_, _ = s.admin.DeleteTopics(ctx, left...) // tried until they are gone
		}
		cancel()
		for i, n := range s.nodes {
			dirs, err := filepath.Glob(filepath.Join(n.LogDir(), "passing-*"))
			require.NoError(s.t, err)
			for _, dir := range dirs {
				if !strings.HasSuffix(dir, "-delete") {
					left = append(left, fmt.Sprintf("%s on %d", filepath.Base(dir), i))
				}
			}
		}
		s.pause(50 * time.Millisecond)
	}
}
