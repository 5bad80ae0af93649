package controller

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gregor/pkg/model"
)

// TestAnyHistoryConverges lets brokers come and go, topics be made, grown,
// deleted and torn out by hand, answers fail or stay away, and controllers
// change, in any order. Then all brokers come back and answer: everything
// that was asked for must have happened, and memory must be what ZooKeeper
// says.
func TestAnyHistoryConverges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.quiet = true
		h := &history{T: rt, w: w, epochs: map[model.TopicPartition]model.LeaderEpoch{}}
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
	w      *world
	epochs map[model.TopicPartition]model.LeaderEpoch
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
	switch rapid.IntRange(0, 11).Draw(h.T, "step") {
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
	}
}

// forget lets a topic begin anew under its name.
func (h *history) forget(topic string) {
	for tp := range h.epochs {
		if tp.Topic == topic {
			delete(h.epochs, tp)
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
