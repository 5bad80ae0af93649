package controller

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gregor/pkg/model"
)

// TestAnyHistoryConverges lets brokers come and go, topics be made, grown,
// reassigned, deleted and torn out by hand, leaders change their ISRs, answers
// fail or stay away, elections be asked for, and controllers change, in any
// order. Then all brokers come back, answer and are in sync: everything that
// was asked for must have happened, and memory must be what ZooKeeper says.
func TestAnyHistoryConverges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.quiet = true
		h := &history{T: rt, w: w, epochs: map[model.TopicPartition]model.LeaderEpoch{}, leaders: map[tenureOf]model.BrokerID{},
			targets: map[model.TopicPartition][]model.BrokerID{}}
		h.do("brokers", "1", "2")
		h.do("elect")
		for range rapid.IntRange(5, 40).Draw(rt, "steps") {
			h.step()
		}
		h.settle()
		h.checkEnd()
	})
}

type history struct {
	*rapid.T
	w       *world
	epochs  map[model.TopicPartition]model.LeaderEpoch
	leaders map[tenureOf]model.BrokerID
	targets map[model.TopicPartition][]model.BrokerID // where partitions were to go at last
}

// tenureOf is one leader epoch of a partition.
type tenureOf struct {
	model.TopicPartition
	epoch model.LeaderEpoch
}

func (h *history) do(words ...string) {
	h.Logf("> %s", strings.Join(words, " "))
	h.w.run(words)
	for tp, s := range h.w.store.states {
		if s.LeaderEpoch < h.epochs[tp] {
			h.Fatalf("%s: leader epoch went from %d to %d", tp, h.epochs[tp], s.LeaderEpoch)
		}
		if len(s.ISR) == 0 {
			h.Fatalf("%s: empty ISR", tp)
		}
		h.epochs[tp] = s.LeaderEpoch
		of := tenureOf{tp, s.LeaderEpoch}
		if before, ok := h.leaders[of]; ok && before != s.Leader {
			h.Fatalf("%s: epoch %d is led by %d and by %d", tp, s.LeaderEpoch, before, s.Leader)
		}
		h.leaders[of] = s.Leader
	}
}

var (
	someBrokers = []string{"1", "2", "3"}
	someTopics  = []string{"a", "b", "c"}
)

func (h *history) pick(from []string, what string) string {
	return rapid.SampledFrom(from).Draw(h.T, what)
}

func (h *history) replicas() string {
	ids := rapid.Permutation(someBrokers).Draw(h.T, "order")
	return strings.Join(ids[:rapid.IntRange(1, 3).Draw(h.T, "factor")], ",")
}

func (h *history) step() {
	topic := h.pick(someTopics, "topic")
	known, exists := h.w.store.topics[topic]
	switch rapid.IntRange(0, 19).Draw(h.T, "step") {
	case 0, 1:
		ids := slices.Clone(someBrokers)
		h.do(append([]string{"brokers"}, rapid.Permutation(ids).Draw(h.T, "order")[:rapid.IntRange(0, 3).Draw(h.T, "live")]...)...)
	case 2:
		if ids := h.w.registered(); len(ids) > 0 {
			h.do("bounce", h.pick(ids, "bounced"))
		}
	case 3, 4:
		if !exists {
			h.forget(topic)
			h.do("topic", topic, "0="+h.replicas(), "1="+h.replicas())
			return
		}
		if h.isMoving(topic) {
			return // refused by those who add partitions
		}
		args, next := []string{"topic", topic}, int32(0)
		for _, number := range sortedKeys(known.Partitions) {
			args, next = append(args, fmt.Sprintf("%d=%s", number, join(known.Partitions[number].Replicas))), number+1
		}
		h.do(append(args, fmt.Sprintf("%d=%s", next, h.replicas()))...)
	case 5:
		if exists {
			h.do("delete", topic)
		}
	case 6:
		if exists && rapid.IntRange(0, 3).Draw(h.T, "by hand") == 0 {
			h.do("rmtopic", topic)
			h.forget(topic)
		}
	case 7, 8:
		h.do("answer", h.pick(someBrokers, "answering"))
	case 9:
		h.do("answer", h.pick(someBrokers, "failing"), "KAFKA_STORAGE_ERROR", topic+"-0")
	case 10:
		if ids := h.w.registered(); len(ids) > 0 {
			h.do("shutdown", h.pick(ids, "leaving"))
		}
	case 11:
		h.do("elect")
	case 12, 13:
		h.reassign(topic, rapid.IntRange(0, 2).Draw(h.T, "by znode") == 0)
	case 14, 15, 16, 17:
		h.proposeISR(model.TopicPartition{Topic: topic, Partition: rapid.Int32Range(0, 1).Draw(h.T, "partition")})
	case 18:
		h.do("electleaders", h.pick([]string{"preferred", "unclean"}, "kind"), topic+"-0", topic+"-1")
	case 19:
		h.do("rebalance")
	}
}

func (h *history) isMoving(topic string) bool {
	for _, a := range h.w.store.topics[topic].Partitions {
		if a.InProgress() {
			return true
		}
	}
	return false
}

// reassign asks for another home of a topic's first partitions, or cancels.
func (h *history) reassign(topic string, byZnode bool) {
	if h.w.machine == nil || byZnode && h.w.store.reassign != nil {
		return
	}
	words := []string{"reassign"}
	if byZnode {
		words[0] = "reassignnode"
	}
	for number := range rapid.Int32Range(1, 2).Draw(h.T, "partitions") {
		tp := model.TopicPartition{Topic: topic, Partition: number}
		if !byZnode && rapid.IntRange(0, 3).Draw(h.T, "cancel") == 0 {
			words = append(words, tp.String()+"=cancel")
			continue
		}
		words = append(words, tp.String()+"="+h.replicas())
	}
	h.do(words...)
	for _, word := range words[1:] {
		name, _, _ := strings.Cut(word, "=")
		tp := h.w.tp(name)
		if p := h.w.machine.c.partition(tp); p != nil && !h.w.machine.c.toDelete[topic] {
			h.targets[tp] = p.target()
		}
	}
}

// proposeISR lets a leader take a live replica into its ISR, or another than
// itself out of it, as AlterIsr allows.
func (h *history) proposeISR(tp model.TopicPartition) {
	s, exists := h.w.store.states[tp]
	if _, live := h.w.store.brokers[s.Leader]; !exists || !live || h.w.machine == nil {
		return
	}
	p := h.w.machine.c.partition(tp)
	if p == nil {
		return
	}
	id := model.BrokerID(rapid.IntRange(1, 3).Draw(h.T, "member"))
	isr := s.ISR
	switch {
	case id == s.Leader:
		return
	case slices.Contains(isr, id):
		isr = except(isr, []model.BrokerID{id})
	case slices.Contains(p.Replicas, id):
		isr = append(slices.Clone(isr), id)
	default:
		return
	}
	h.do("isr", tp.String(), join(isr))
}

// forget lets a topic begin anew under its name.
func (h *history) forget(topic string) {
	for tp := range h.epochs {
		if tp.Topic == topic {
			delete(h.epochs, tp)
		}
	}
	maps.DeleteFunc(h.targets, func(tp model.TopicPartition, _ []model.BrokerID) bool { return tp.Topic == topic })
	for of := range h.leaders {
		if of.Topic == topic {
			delete(h.leaders, of)
		}
	}
}

// settle brings all brokers back, with new registrations, and lets them
// answer everything.
func (h *history) settle() {
	h.do("brokers")
	h.do(append([]string{"brokers"}, someBrokers...)...)
	for range 4 {
		for _, id := range someBrokers {
			h.do("answer", id)
		}
	}
	for range 2 { // a reassignment that ends may begin a new life of the partition
		for _, p := range h.w.machine.c.selectPartitions(func(p *partition) bool { return !h.w.machine.c.toDelete[p.Topic] }) {
			if p.leader != nil && p.leader.Leader >= 0 {
				h.do("isr", p.String(), join(p.Replicas))
			}
		}
	}
	for _, id := range someBrokers {
		h.do("answer", id)
	}
}

func (h *history) checkEnd() {
	c := h.w.machine.c
	for name := range h.w.store.marks {
		if _, exists := h.w.store.topics[name]; exists {
			h.Fatalf("%s is still to be deleted; ineligible: %q", name, c.ineligible[name])
		}
	}
	if len(c.toDelete)+len(c.deletionBegun)+len(c.ineligible) > 0 {
		h.Fatalf("deletions left in memory: %v %v %v", c.toDelete, c.deletionBegun, c.ineligible)
	}
	if !slices.Equal(sortedKeys(c.topics), sortedKeys(h.w.store.topics)) {
		h.Fatalf("topics in memory %v, in ZooKeeper %v", sortedKeys(c.topics), sortedKeys(h.w.store.topics))
	}
	for name, a := range h.w.store.topics {
		if len(c.topics[name].partitions) != len(a.Partitions) {
			h.Fatalf("%s has %d partitions in memory, %d in ZooKeeper", name, len(c.topics[name].partitions), len(a.Partitions))
		}
	}
	if len(c.reassigning) > 0 || h.w.store.reassign != nil {
		h.Fatalf("reassignments left: %v, asked for in ZooKeeper: %v", c.reassigning, h.w.store.reassign)
	}
	for tp, target := range h.targets {
		if a, exists := h.w.store.topics[tp.Topic].Partitions[tp.Partition]; exists && (a.InProgress() || !slices.Equal(a.Replicas, target)) {
			h.Fatalf("%s was to move to %v and is %s", tp, target, a)
		}
	}
	for _, p := range c.selectPartitions(func(*partition) bool { return true }) {
		if p.state != OnlinePartition {
			h.Fatalf("%s is in %s", p, p.state)
		}
		stored := h.w.store.states[p.TopicPartition]
		if stored.Leader != p.leader.Leader || stored.LeaderEpoch != p.leader.LeaderEpoch || stored.ZkVersion != p.leader.ZkVersion || !slices.Equal(stored.ISR, p.leader.ISR) {
			h.Fatalf("%s in memory %s, in ZooKeeper %s", p, p.leader.info(), stored.info())
		}
		for _, id := range p.Replicas {
			if p.replicaState(id) != OnlineReplica {
				h.Fatalf("replica %d of %s is in %s", id, p, p.replicaState(id))
			}
		}
	}
}
