package controller

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/logging"
	"gregor/pkg/model"
)

var update = flag.Bool("update", false, "write the output of the scripts into testdata")

// TestScripts runs testdata/*.txt. A script is a list of paragraphs: a line
// "> command", then what the machine did: znodes written, requests sent, and
// log lines of WARN and above.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScript(t, file) })
	}
}

func runScript(t *testing.T, file string) {
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	w := newWorld(t)
	var got strings.Builder
	commented := false
	for _, line := range strings.Split(strings.TrimRight(string(want), "\n"), "\n") {
		comment := strings.HasPrefix(line, "#")
		if !comment && !strings.HasPrefix(line, "> ") {
			continue // output of the last time
		}
		if got.Len() > 0 && !commented {
			got.WriteString("\n")
		}
		got.WriteString(line + "\n")
		if commented = comment; comment {
			continue
		}
		w.out.Reset()
		w.run(strings.Fields(line[2:]))
		got.WriteString(w.out.String())
	}
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got.String()), 0o644))
		return
	}
	require.Equal(t, string(want), got.String())
}

// world is a machine with a store and brokers in memory.
type world struct {
	t        *testing.T
	out      bytes.Buffer
	store    *memoryStore
	machine  *machine
	epoch    model.ControllerEpoch
	zxid     model.BrokerEpoch
	pending  []pending
	posted   []func() error
	ids      byte
	requests int64 // reassignments asked for in ZooKeeper
	set      settings
	quiet    bool // no output: for long random histories
}

// pending is a request that waits to be answered.
type pending struct {
	to       model.BrokerID
	req      kmsg.Request
	answered func(kmsg.Response)
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, zxid: 100}
	w.set = settings{ID: 1, InterBrokerListener: "PLAINTEXT", DeleteTopicEnable: true, ImbalancePercentage: 10,
		Versions: Versions{LeaderAndISR: 5, UpdateMetadata: 7, StopReplica: 3, Features: true, TopicIDs: true, AlterISR: true}}
	w.store = &memoryStore{w: w, brokers: map[model.BrokerID]model.Broker{}, topics: map[string]TopicAssignment{},
		states: map[model.TopicPartition]LeaderISR{}, unclean: map[string]bool{}, marks: map[string]bool{}}
	return w
}

func (w *world) printf(format string, args ...any) {
	if !w.quiet {
		fmt.Fprintf(&w.out, format+"\n", args...)
	}
}

// Write takes the log: only what warns is part of the scripts.
func (w *world) Write(line []byte) (int, error) {
	if w.quiet {
		return len(line), nil
	}
	text := string(line)
	if i := strings.Index(text, "] "); i >= 0 && strings.HasPrefix(text, "[20") {
		text = text[i+2:]
	}
	if level, _, _ := strings.Cut(text, " "); level == "WARN" || level == "ERROR" {
		w.out.WriteString(text)
	}
	return len(line), nil
}

func (w *world) elect() {
	loggers := logging.New(w)
	log := newLines(loggers, w.set.ID)
	w.epoch++
	c := newCluster()
	c.epoch = w.epoch
	w.pending, w.posted = nil, nil
	w.machine = &machine{settings: w.set, store: w.store, sender: w, log: log, state: log.stateChange(w.epoch), c: c,
		post:       func(_ string, run func() error) { w.posted = append(w.posted, run) },
		watchTopic: func(string) {}, unwatchTopic: func(string) {}, watchBroker: func(model.BrokerID) {}, unwatchBroker: func(model.BrokerID) {},
		watchState: func(model.TopicPartition) {}, unwatchState: func(model.TopicPartition) {},
		newTopicID: func() model.TopicID { w.ids++; return model.TopicID{15: w.ids} },
	}
}

// Sender

func (w *world) Add(b model.Broker)       { w.printf("connect to %d", b.ID) }
func (w *world) Remove(id model.BrokerID) { w.printf("disconnect from %d", id) }
func (w *world) Close()                   {}

func (w *world) Send(to model.BrokerID, req kmsg.Request, answered func(kmsg.Response)) {
	w.printf("-> %d %s", to, describeRequest(req))
	w.pending = append(w.pending, pending{to, req, answered})
}

func describeRequest(req kmsg.Request) string {
	var b strings.Builder
	switch r := req.(type) {
	case *kmsg.LeaderAndISRRequest:
		fmt.Fprintf(&b, "LeaderAndIsr v%d epoch %d", r.Version, r.BrokerEpoch)
		states := r.PartitionStates
		for _, t := range r.TopicStates {
			for _, p := range t.PartitionStates {
				p.Topic = t.Topic
				states = append(states, p)
			}
		}
		for _, p := range states {
			fmt.Fprintf(&b, "; %s-%d leader %d/%d isr %v v%d replicas %v", p.Topic, p.Partition, p.Leader, p.LeaderEpoch, p.ISR, p.ZKVersion, p.Replicas)
			if len(p.AddingReplicas)+len(p.RemovingReplicas) > 0 {
				fmt.Fprintf(&b, " adding %v removing %v", p.AddingReplicas, p.RemovingReplicas)
			}
			if p.IsNew {
				b.WriteString(" new")
			}
		}
	case *kmsg.UpdateMetadataRequest:
		fmt.Fprintf(&b, "UpdateMetadata v%d brokers", r.Version)
		for _, l := range r.LiveBrokers {
			fmt.Fprintf(&b, " %d", l.ID)
		}
		states := r.PartitionStates
		for _, t := range r.TopicStates {
			for _, p := range t.PartitionStates {
				p.Topic = t.Topic
				states = append(states, p)
			}
		}
		for _, p := range states {
			fmt.Fprintf(&b, "; %s-%d leader %d/%d isr %v", p.Topic, p.Partition, p.Leader, p.LeaderEpoch, p.ISR)
			if len(p.OfflineReplicas) > 0 {
				fmt.Fprintf(&b, " offline %v", p.OfflineReplicas)
			}
		}
	case *kmsg.StopReplicaRequest:
		fmt.Fprintf(&b, "StopReplica v%d", r.Version)
		for _, t := range r.Topics {
			for _, p := range t.PartitionStates {
				if r.Version < 3 {
					p.Delete = r.DeletePartitions
				}
				fmt.Fprintf(&b, "; %s-%d epoch %d", t.Topic, p.Partition, p.LeaderEpoch)
				if p.Delete {
					b.WriteString(" delete")
				}
			}
		}
	}
	return b.String()
}

// run executes one command of a script.
func (w *world) run(words []string) {
	command, args := words[0], words[1:]
	run, ok := commands[command]
	require.True(w.t, ok, "no command %q", command)
	if err := run(w, args); err != nil {
		w.printf("error: %v", err)
	}
	w.runPosted()
}

// runPosted runs the events that were entered meanwhile.
func (w *world) runPosted() {
	for len(w.posted) > 0 {
		run := w.posted[0]
		w.posted = w.posted[1:]
		if err := run(); err != nil {
			w.printf("error: %v", err)
		}
	}
	w.check()
}

var commands = map[string]func(w *world, args []string) error{
	"elect":  func(w *world, _ []string) error { w.elect(); return w.machine.failover() },
	"resign": func(w *world, _ []string) error { w.machine = nil; return nil },
	"brokers": func(w *world, args []string) error {
		w.register(args)
		return w.event(func(m *machine) error { return m.brokersChanged() })
	},
	"bounce": func(w *world, args []string) error {
		for _, id := range args {
			delete(w.store.brokers, w.id(id))
		}
		w.register(append(w.registered(), args...))
		return w.event(func(m *machine) error { return m.brokersChanged() })
	},
	"topic": func(w *world, args []string) error {
		known, existed := w.store.topics[args[0]]
		a := w.assignment(args[1:])
		if existed && a.ID.IsZero() {
			a.ID = known.ID
		}
		w.store.topics[args[0]] = a
		if existed {
			return w.event(func(m *machine) error { return m.topicDataChanged(args[0]) })
		}
		return w.event(func(m *machine) error { return m.topicsChanged() })
	},
	"rmtopic": func(w *world, args []string) error {
		w.store.removeTree(args[0])
		return w.event(func(m *machine) error { return m.topicsChanged() })
	},
	"delete": func(w *world, args []string) error {
		for _, name := range args {
			w.store.marks[name] = true
		}
		return w.event(func(m *machine) error { return m.topicDeletions() })
	},
	"answer":   answer,
	"alterisr": alterISR,
	"isr": func(w *world, args []string) error { // the leader asks by AlterIsr
		s := w.store.states[w.tp(args[0])]
		return alterISR(w, []string{s.Leader.String(), "now", fmt.Sprintf("%s:%d:%s:%d", args[0], s.LeaderEpoch, args[1], s.ZkVersion)})
	},
	"shutdown": shutdownBroker,
	"state": func(w *world, args []string) error { // tp leader epoch isr: written by the leader
		tp := w.tp(args[0])
		s := w.store.states[tp]
		s.Leader, s.ISR = w.id(args[1]), w.list(args[2])
		s.ZkVersion++
		w.store.states[tp] = s
		return nil
	},
	"isrchange": func(w *world, args []string) error {
		for _, tp := range args {
			w.store.changes = append(w.store.changes, w.tp(tp))
		}
		return w.event(func(m *machine) error { return m.isrChanged() })
	},
	"logdir": func(w *world, args []string) error {
		w.store.events = append(w.store.events, w.id(args[0]))
		return w.event(func(m *machine) error { return m.logDirsFailed() })
	},
	"unclean": func(w *world, args []string) error {
		w.store.unclean[args[0]] = args[1] == "true"
		return w.event(func(m *machine) error { return m.tryOnline() })
	},
	"preferred": func(w *world, args []string) error {
		w.store.preferred = []model.TopicPartition{}
		for _, tp := range args {
			w.store.preferred = append(w.store.preferred, w.tp(tp))
		}
		return w.event(func(m *machine) error { return m.preferredElectionRequested() })
	},
	"electleaders": electLeaders,
	"rebalance": func(w *world, _ []string) error {
		return w.event(func(m *machine) error { return m.rebalanceLeaders() })
	},
	"rmstate": func(w *world, args []string) error { // by hand
		delete(w.store.states, w.tp(args[0]))
		return nil
	},
	"reassign":      reassign,
	"reassignments": listReassignments,
	"reassignnode": func(w *world, args []string) error { // by hand, by CMAK, by old tools
		w.requests++
		w.store.reassign = &ReassignmentRequest{ID: w.requests, Targets: w.targets(args)}
		return w.event(func(m *machine) error { _, err := m.reassignmentRequested(); return err })
	},
	"reassignedit": func(w *world, args []string) error { // into a node that is there
		w.store.reassign.Targets = w.targets(args)
		return w.event(func(m *machine) error { _, err := m.reassignmentRequested(); return err })
	},
	"statechange": func(w *world, args []string) error { // the watch of a state
		return w.event(func(m *machine) error { return m.reassignmentsCaughtUp([]model.TopicPartition{w.tp(args[0])}) })
	},
	"fail": func(w *world, args []string) error {
		w.store.fail = append(w.store.fail, w.tp(args[0]))
		return nil
	},
	"conflict": func(w *world, args []string) error {
		w.store.conflict = append(w.store.conflict, w.tp(args[0]))
		return nil
	},
	"moved": func(w *world, _ []string) error { w.store.moved = true; return nil },
	"obstacles": func(w *world, _ []string) error {
		for _, text := range w.machine.deletionObstacles() {
			w.printf("%s", text)
		}
		return nil
	},
	"config": func(w *world, args []string) error {
		for _, a := range args {
			switch a {
			case "delete.topic.enable=false":
				w.set.DeleteTopicEnable = false
			case "ibp=1.0":
				w.set.Versions = Versions{LeaderAndISR: 1, UpdateMetadata: 4, StopReplica: 0}
			case "ibp=2.4":
				w.set.Versions = Versions{LeaderAndISR: 4, UpdateMetadata: 6, StopReplica: 2}
			default:
				w.t.Fatalf("config %s", a)
			}
		}
		return nil
	},
	"dump": func(w *world, _ []string) error { w.dump(); return nil },
}

// event runs an event if there is a controller.
func (w *world) event(run func(m *machine) error) error {
	if w.machine == nil {
		return nil
	}
	return run(w.machine)
}

// answer lets brokers answer what they were sent: "answer 1" or "answer 1
// ERROR topic-0" or "answer 1 ERROR" for whole requests.
func answer(w *world, args []string) error {
	from := w.id(args[0])
	var whole, one int16
	at := model.TopicPartition{}
	if len(args) == 2 {
		whole = w.code(args[1])
	}
	if len(args) == 3 {
		one, at = w.code(args[1]), w.tp(args[2])
	}
	codeOf := func(topic string, partition int32) int16 {
		if (model.TopicPartition{Topic: topic, Partition: partition}) == at {
			return one
		}
		return 0
	}
	waiting := w.pending
	w.pending = nil
	for _, p := range waiting {
		if p.to != from {
			w.pending = append(w.pending, p)
		} else if p.answered != nil {
			p.answered(respond(p.req, whole, codeOf))
		}
	}
	return nil
}

func respond(req kmsg.Request, whole int16, codeOf func(string, int32) int16) kmsg.Response {
	switch r := req.(type) {
	case *kmsg.LeaderAndISRRequest:
		resp := r.ResponseKind().(*kmsg.LeaderAndISRResponse)
		resp.ErrorCode = whole
		for _, p := range r.PartitionStates {
			resp.Partitions = append(resp.Partitions, kmsg.LeaderAndISRResponseTopicPartition{Topic: p.Topic, Partition: p.Partition, ErrorCode: codeOf(p.Topic, p.Partition)})
		}
		for _, t := range r.TopicStates {
			one := kmsg.LeaderAndISRResponseTopic{TopicID: t.TopicID}
			for _, p := range t.PartitionStates {
				one.Partitions = append(one.Partitions, kmsg.LeaderAndISRResponseTopicPartition{Partition: p.Partition, ErrorCode: codeOf(t.Topic, p.Partition)})
			}
			resp.Topics = append(resp.Topics, one)
		}
		return resp
	case *kmsg.StopReplicaRequest:
		resp := r.ResponseKind().(*kmsg.StopReplicaResponse)
		resp.ErrorCode = whole
		if whole == 0 {
			for _, t := range r.Topics {
				for _, p := range t.PartitionStates {
					resp.Partitions = append(resp.Partitions, kmsg.StopReplicaResponsePartition{Topic: t.Topic, Partition: p.Partition, ErrorCode: codeOf(t.Topic, p.Partition)})
				}
			}
		}
		return resp
	}
	return req.ResponseKind()
}

// targets reads "a-0=1,2 a-1=cancel a-2=".
func (w *world) targets(args []string) map[model.TopicPartition][]model.BrokerID {
	targets := map[model.TopicPartition][]model.BrokerID{}
	for _, arg := range args {
		name, replicas, ok := strings.Cut(arg, "=")
		require.True(w.t, ok, arg)
		switch replicas {
		case "cancel":
			targets[w.tp(name)] = nil
		case "":
			targets[w.tp(name)] = []model.BrokerID{}
		default:
			targets[w.tp(name)] = w.list(replicas)
		}
	}
	return targets
}

// reassign is "reassign a-0=2,3 a-1=cancel", through the API.
func reassign(w *world, args []string) error {
	failed, err := w.machine.alterReassignments(w.targets(args))
	for _, tp := range sortedPartitions(maps.Keys(failed)) {
		w.printf("%s: %s: %v", tp, kerr.Of(failed[tp]).Name, failed[tp])
	}
	return err
}

func listReassignments(w *world, args []string) error {
	var of []model.TopicPartition
	for _, arg := range args {
		of = append(of, w.tp(arg))
	}
	running := w.machine.reassignments(of)
	for _, tp := range sortedPartitions(maps.Keys(running)) {
		w.printf("%s: %s", tp, running[tp])
	}
	return nil
}

func shutdownBroker(w *world, args []string) error {
	left, err := w.machine.brokerLeaves(w.id(args[0]))
	w.printf("still led: [%s]", join(left))
	return err
}

// electLeaders is "electleaders preferred|unclean tp...".
func electLeaders(w *world, args []string) error {
	var tps []model.TopicPartition
	for _, arg := range args[1:] {
		tps = append(tps, w.tp(arg))
	}
	elected, failed, err := w.machine.electLeaders(tps, args[0] == "unclean")
	for _, tp := range sortedPartitions(maps.Keys(elected)) {
		w.printf("%s: led by %d", tp, elected[tp])
	}
	for _, tp := range sortedPartitions(maps.Keys(failed)) {
		w.printf("%s: %s: %v", tp, kerr.Of(failed[tp]).Name, failed[tp])
	}
	return err
}

// alterISR lets the leader ask: "alterisr 1 epoch|stale tp:leaderEpoch:isr:version".
func alterISR(w *world, args []string) error {
	id, epoch := w.id(args[0]), model.BrokerEpoch(0)
	switch b := w.store.brokers[id]; args[1] {
	case "stale":
		epoch = b.Epoch - 1
	case "early":
		epoch = b.Epoch + 1
	default:
		epoch = b.Epoch
	}
	var changes []ISRChange
	for _, arg := range args[2:] {
		parts := strings.Split(arg, ":")
		require.Len(w.t, parts, 4, arg)
		change := ISRChange{TopicPartition: w.tp(parts[0]), LeaderEpoch: model.LeaderEpoch(w.id(parts[1])), Version: model.PartitionEpoch(w.id(parts[3]))}
		if parts[2] != "" {
			change.ISR = w.list(parts[2])
		}
		changes = append(changes, change)
	}
	results, err := w.machine.alterISR(id, epoch, changes)
	for _, r := range results {
		if r.Err != nil {
			w.printf("%s: %s", r.TopicPartition, kerr.Of(r.Err).Name)
		} else {
			w.printf("%s: %s", r.TopicPartition, r.State.info())
		}
	}
	return err
}

// check holds the invariants of the cluster after every command.
func (w *world) check() {
	if w.machine == nil {
		return
	}
	c := w.machine.c
	for name := range c.ineligible {
		require.True(w.t, c.toDelete[name], "ineligible %s is not to be deleted", name)
	}
	require.LessOrEqual(w.t, len(c.names), len(c.topics))
	for id, name := range c.names {
		require.Equal(w.t, id, c.topics[name].id)
	}
	for tp := range c.reassigning {
		require.NotNil(w.t, c.partition(tp), "%s is reassigned and unknown", tp)
		require.False(w.t, c.toDelete[tp.Topic], "%s is reassigned while its topic is to be deleted", tp)
	}
	for name := range c.deletionBegun {
		require.True(w.t, c.toDelete[name], "%s has begun and is not to be deleted", name)
	}
	for _, p := range c.selectPartitions(func(*partition) bool { return true }) {
		require.True(w.t, !p.InProgress() || c.reassigning[p.TopicPartition] || c.toDelete[p.Topic], "%s has adding or removing replicas and is not known to be reassigned", p)
		require.True(w.t, subset(p.Adding, p.Replicas) && subset(p.Removing, p.Replicas), "%s: %s", p, p.Assignment)
		require.True(w.t, p.leader == nil || subset(p.leader.ISR, p.Replicas), "%s: ISR %v is not within %v", p, p.leader, p.Replicas)
	}
	for _, p := range c.selectPartitions(func(p *partition) bool { return p.state == OnlinePartition }) {
		require.NotNil(w.t, p.leader, "%s is online without a leader", p)
		require.True(w.t, slices.Contains(p.leader.ISR, p.leader.Leader), "%s: leader %d is not in ISR %v", p, p.leader.Leader, p.leader.ISR)
	}
}

func (w *world) dump() {
	c := w.machine.c
	for _, p := range c.selectPartitions(func(*partition) bool { return true }) {
		leader := "no leader"
		if p.leader != nil {
			leader = p.leader.info()
		}
		var replicas []string
		for _, id := range sortedKeys(p.replicas) {
			replicas = append(replicas, fmt.Sprintf("%d:%s", id, p.replicas[id]))
		}
		w.printf("%s %s %s %s", p, p.state, leader, strings.Join(replicas, " "))
	}
}

func (w *world) register(ids []string) {
	now := map[model.BrokerID]model.Broker{}
	for _, text := range ids {
		id := w.id(text)
		b, ok := w.store.brokers[id]
		if !ok {
			w.zxid++
			b = model.Broker{ID: id, Epoch: w.zxid, Endpoints: []model.Endpoint{{Listener: "PLAINTEXT", Host: "h" + text, Port: 9092}}}
		}
		now[id] = b
	}
	w.store.brokers = now
}

func (w *world) registered() []string {
	var ids []string
	for _, id := range sortedKeys(w.store.brokers) {
		ids = append(ids, id.String())
	}
	return ids
}

func (w *world) id(text string) model.BrokerID {
	n, err := strconv.Atoi(text)
	require.NoError(w.t, err)
	return model.BrokerID(n)
}

func (w *world) list(text string) []model.BrokerID {
	var ids []model.BrokerID
	for _, one := range strings.Split(text, ",") {
		ids = append(ids, w.id(one))
	}
	return ids
}

func (w *world) tp(text string) model.TopicPartition {
	tp, err := model.ParseTopicPartition(text)
	require.NoError(w.t, err)
	return tp
}

func (w *world) code(name string) int16 {
	for code := int16(-1); code < 130; code++ {
		if e := kerr.ForCode(code); e != nil && e.Name == name {
			return e.Code
		}
	}
	w.t.Fatalf("no error %s", name)
	return 0
}

// assignment reads "0=1,2 1=2,1 id".
func (w *world) assignment(args []string) TopicAssignment {
	a := TopicAssignment{Partitions: map[int32]Assignment{}}
	for _, arg := range args {
		if arg == "id" {
			a.ID = model.TopicID{0: 0xff, 15: w.ids}
			continue
		}
		number, replicas, ok := strings.Cut(arg, "=")
		require.True(w.t, ok, arg)
		n, err := strconv.Atoi(number)
		require.NoError(w.t, err)
		a.Partitions[int32(n)] = Assignment{}
		if replicas != "" {
			a.Partitions[int32(n)] = Assignment{Replicas: w.list(replicas)}
		}
	}
	return a
}
