//go:build compat

package compat

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func assigned(topic string, replicas ...[]int32) *kmsg.CreateTopicsRequest {
	req := creating(topic, -1)
	req.Topics[0].ReplicationFactor = -1
	for i, r := range replicas {
		a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		a.Partition, a.Replicas = int32(i), r
		req.Topics[0].ReplicaAssignment = append(req.Topics[0].ReplicaAssignment, a)
	}
	return req
}

func topicsScript(c *conv) {
	c.creations()
	c.growth()
	c.deletions()
}

func (c *conv) creations() {
	create := func(what string, build func(name string, version int16) *kmsg.CreateTopicsRequest) {
		c.each(what, func(version int16) kmsg.Request {
			name := strings.Map(func(r rune) rune {
				if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
					return r
				}
				return '-'
			}, what)
			return build(fmt.Sprintf("c-%s-v%d", name, version), version)
		})
	}
	plain := func(change func(*kmsg.CreateTopicsRequest)) func(string, int16) *kmsg.CreateTopicsRequest {
		return func(name string, _ int16) *kmsg.CreateTopicsRequest {
			req := creating(name, 2)
			change(req)
			return req
		}
	}
	topic := func(change func(*kmsg.CreateTopicsRequestTopic)) func(string, int16) *kmsg.CreateTopicsRequest {
		return plain(func(r *kmsg.CreateTopicsRequest) { change(&r.Topics[0]) })
	}
	named := func(name string) func(string, int16) *kmsg.CreateTopicsRequest {
		return topic(func(t *kmsg.CreateTopicsRequestTopic) { t.Topic = name })
	}
	config := func(pairs ...any) func(string, int16) *kmsg.CreateTopicsRequest {
		return topic(func(t *kmsg.CreateTopicsRequestTopic) {
			for i := 0; i < len(pairs); i += 2 {
				c := kmsg.CreateTopicsRequestTopicConfig{Name: pairs[i].(string)}
				if value, ok := pairs[i+1].(string); ok {
					c.Value = &value
				}
				t.Configs = append(t.Configs, c)
			}
		})
	}
	create("good", plain(func(*kmsg.CreateTopicsRequest) {}))
	create("good with configs", config("retention.ms", "1000", "cleanup.policy", "compact,delete", "segment.bytes", "1048576"))
	create("validate only", plain(func(r *kmsg.CreateTopicsRequest) { r.ValidateOnly = true }))
	create("validate only, exists", plain(func(r *kmsg.CreateTopicsRequest) { r.ValidateOnly, r.Topics[0].Topic = true, "plain" }))
	create("timeout 0", plain(func(r *kmsg.CreateTopicsRequest) { r.TimeoutMillis = 0 }))
	create("timeout -1", plain(func(r *kmsg.CreateTopicsRequest) { r.TimeoutMillis = -1 }))
	create("exists", named("plain"))
	create("internal exists", named("__consumer_offsets"))
	create("collides", named("c-good_v0"))
	create("collides with dot", func(string, int16) *kmsg.CreateTopicsRequest { return creating("c.good-v0", 1) })
	for _, name := range []string{"", ".", "..", "a b", "a/b", "ä", "a\x00b", "a:b", strings.Repeat("n", 249), strings.Repeat("n", 250), "<script>", "\xff\xfe"} {
		what := fmt.Sprintf("name %.20q %d", name, len(name))
		if len(name) == 249 {
			create(what, func(string, int16) *kmsg.CreateTopicsRequest {
				r := creating(name, 1)
				r.ValidateOnly = true
				return r
			})
			continue
		}
		create(what, named(name))
	}
	create("no topics", plain(func(r *kmsg.CreateTopicsRequest) { r.Topics = nil }))
	create("twice", plain(func(r *kmsg.CreateTopicsRequest) { r.Topics = append(r.Topics, r.Topics[0]) }))
	create("twice and another", plain(func(r *kmsg.CreateTopicsRequest) {
		r.Topics = append(r.Topics, r.Topics[0], creating(r.Topics[0].Topic+"-x", 1).Topics[0])
	}))
	for _, n := range []int32{0, -1, -2, -1 << 31} {
		create(fmt.Sprint("partitions ", n), topic(func(t *kmsg.CreateTopicsRequestTopic) { t.NumPartitions = n }))
	}
	for _, n := range []int16{0, -1, -2, 2, 32767} {
		create(fmt.Sprint("replication ", n), topic(func(t *kmsg.CreateTopicsRequestTopic) { t.ReplicationFactor = n }))
	}
	create("defaults", topic(func(t *kmsg.CreateTopicsRequestTopic) { t.NumPartitions, t.ReplicationFactor = -1, -1 }))
	create("unknown config", config("no.such.key", "1"))
	create("bad config value", config("retention.ms", "7days"))
	create("bad config value, list", config("cleanup.policy", "shred"))
	create("bad config value, double", config("min.cleanable.dirty.ratio", "2"))
	create("bad config value, bool", config("preallocate", "yes"))
	create("bad config value, range", config("segment.bytes", "3"))
	create("bad config value, version", config("message.format.version", "9.9"))
	create("bad config value, compression", config("compression.type", "rar"))
	create("bad config value, throttled", config("leader.replication.throttled.replicas", "0-0"))
	create("null config value", config("retention.ms", nil))
	create("null config values", config("retention.ms", nil, "segment.bytes", nil))
	create("same config twice", config("retention.ms", "1", "retention.ms", "2"))
	create("empty config value", config("retention.ms", ""))
	create("empty config name", config("", "x"))
	create("compaction lag crossed", config("min.compaction.lag.ms", "10", "max.compaction.lag.ms", "5"))
	create("spaces around a value", config("retention.ms", " 5000 "))
	assign := func(what string, change func(*kmsg.CreateTopicsRequest), replicas ...[]int32) {
		create(what, func(name string, _ int16) *kmsg.CreateTopicsRequest {
			req := assigned(name, replicas...)
			if change != nil {
				change(req)
			}
			return req
		})
	}
	assign("assignment", nil, []int32{0}, []int32{0})
	assign("assignment, unequal", nil, []int32{0}, []int32{0, 1})
	assign("assignment, twice the broker", nil, []int32{0, 0})
	assign("assignment, empty", func(r *kmsg.CreateTopicsRequest) { r.TimeoutMillis = 50 }, []int32{})
	assign("assignment, one empty", nil, []int32{0}, []int32{})
	assign("assignment, negative broker", func(r *kmsg.CreateTopicsRequest) { r.ValidateOnly, r.TimeoutMillis = true, 50 }, []int32{-4})
	assign("assignment, unknown broker", func(r *kmsg.CreateTopicsRequest) { r.ValidateOnly, r.TimeoutMillis = true, 50 }, []int32{77})
	assign("assignment and partitions", func(r *kmsg.CreateTopicsRequest) { r.Topics[0].NumPartitions = 1 }, []int32{0})
	assign("assignment and replication", func(r *kmsg.CreateTopicsRequest) { r.Topics[0].ReplicationFactor = 1 }, []int32{0})
	assign("assignment from 1", func(r *kmsg.CreateTopicsRequest) { r.Topics[0].ReplicaAssignment[0].Partition = 1 }, []int32{0})
	assign("assignment, partition twice", func(r *kmsg.CreateTopicsRequest) { r.Topics[0].ReplicaAssignment[1].Partition = 0 }, []int32{0}, []int32{0})
	assign("assignment, negative partition", func(r *kmsg.CreateTopicsRequest) { r.Topics[0].ReplicaAssignment[0].Partition = -1 }, []int32{0})
	assign("assignment with a gap", func(r *kmsg.CreateTopicsRequest) { r.Topics[0].ReplicaAssignment[1].Partition = 2 }, []int32{0}, []int32{0})
	create("many results", plain(func(r *kmsg.CreateTopicsRequest) {
		name := r.Topics[0].Topic
		r.Topics = append(r.Topics, creating("plain", 1).Topics[0], creating("a b", 1).Topics[0], creating(name+"-0", 0).Topics[0],
			creating(name+"-c", 1, "x", "y").Topics[0], assigned(name+"-r", []int32{0, 0}).Topics[0], creating(name+"-ok", 1).Topics[0])
	}))
}

func (c *conv) growth() {
	grow := func(topic string, count int32, assignment ...[]int32) *kmsg.CreatePartitionsRequest {
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.TimeoutMillis = 5000
		rt := kmsg.NewCreatePartitionsRequestTopic()
		rt.Topic, rt.Count = topic, count
		for _, replicas := range assignment {
			rt.Assignment = append(rt.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: replicas})
		}
		req.Topics = append(req.Topics, rt)
		return req
	}
	for version := range c.both(37) {
		name := fmt.Sprint("grown-", version)
		ask[*kmsg.CreateTopicsResponse](c, "to grow "+name, 4, creating(name, 2))
		send := func(what string, req *kmsg.CreatePartitionsRequest) {
			ask[*kmsg.CreatePartitionsResponse](c, what, version, req)
		}
		with := func(req *kmsg.CreatePartitionsRequest, change func(*kmsg.CreatePartitionsRequest)) *kmsg.CreatePartitionsRequest {
			change(req)
			return req
		}
		for _, n := range []int32{0, -1, -5, 1, 2} {
			send(fmt.Sprint("to ", n), grow(name, n))
		}
		send("validate only", with(grow(name, 4), func(r *kmsg.CreatePartitionsRequest) { r.ValidateOnly = true }))
		send("to 3", grow(name, 3))
		send("to 5, assigned", grow(name, 5, []int32{0}, []int32{0}))
		send("too few assigned", grow(name, 7, []int32{0}))
		send("too many assigned", grow(name, 6, []int32{0}, []int32{0}))
		send("unknown broker", grow(name, 6, []int32{5}))
		send("negative broker", grow(name, 6, []int32{-5}))
		send("twice the broker", grow(name, 6, []int32{0, 0}))
		send("two unknown brokers", grow(name, 7, []int32{5}, []int32{6}))
		send("no replicas", grow(name, 6, []int32{}))
		send("empty assignment", with(grow(name, 6), func(r *kmsg.CreatePartitionsRequest) {
			r.ValidateOnly, r.Topics[0].Assignment = true, []kmsg.CreatePartitionsRequestTopicAssignment{}
		}))
		send("unknown topic", grow("nowhere", 3))
		send("bad name", grow("bad name", 3))
		send("empty name", grow("", 3))
		send("nothing", with(grow(name, 9), func(r *kmsg.CreatePartitionsRequest) { r.Topics = nil }))
		send("twice", with(grow(name, 9), func(r *kmsg.CreatePartitionsRequest) { r.Topics = append(r.Topics, r.Topics[0]) }))
		send("internal", with(grow("__consumer_offsets", 9), func(r *kmsg.CreatePartitionsRequest) { r.ValidateOnly = true }))
		send("timeout 0", with(grow(name, 6), func(r *kmsg.CreatePartitionsRequest) { r.TimeoutMillis = 0 }))
		send("timeout -1", with(grow(name, 7), func(r *kmsg.CreatePartitionsRequest) { r.TimeoutMillis = -1 }))
		send("good and bad", with(grow(name, 8), func(r *kmsg.CreatePartitionsRequest) {
			r.Topics = append(r.Topics, grow("nowhere", 2).Topics[0], grow("plain", 1).Topics[0])
		}))
	}
}

func (c *conv) deletions() {
	deleting := func(version int16, names ...string) *kmsg.DeleteTopicsRequest {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TimeoutMillis = 5000
		for _, name := range names {
			req.TopicNames = append(req.TopicNames, name)
			rt := kmsg.NewDeleteTopicsRequestTopic()
			rt.Topic = &name
			req.Topics = append(req.Topics, rt)
		}
		return req
	}
	for version := range c.both(20) {
		name := fmt.Sprint("gone-", version)
		for _, suffix := range []string{"", "-a", "-0", "-1", "-t", "-id"} {
			ask[*kmsg.CreateTopicsResponse](c, "to delete "+name+suffix, 4, creating(name+suffix, 1))
		}
		send := func(what string, req *kmsg.DeleteTopicsRequest) {
			ask[*kmsg.DeleteTopicsResponse](c, what, version, req)
		}
		send("good", deleting(version, name))
		send("again", deleting(version, name))
		send("unknown", deleting(version, "nowhere"))
		send("bad name", deleting(version, "bad name"))
		send("empty name", deleting(version, ""))
		send("nothing", deleting(version))
		send("good and unknown", deleting(version, name+"-a", "nowhere"))
		send("twice", deleting(version, name+"-t", name+"-t"))
		for i, timeout := range []int32{0, -1} {
			req := deleting(version, fmt.Sprint(name, "-", i))
			req.TimeoutMillis = timeout
			send(fmt.Sprint("timeout ", timeout), req)
		}
		if version < 6 {
			continue
		}
		unknown := deleting(version, "x")
		unknown.Topics[0].Topic, unknown.Topics[0].TopicID = nil, [16]byte{9, 9}
		send("unknown id", unknown)
		both := deleting(version, "plain")
		both.Topics[0].TopicID = [16]byte{9, 9}
		send("id and name", both)
		neither := deleting(version, "x")
		neither.Topics[0].Topic = nil
		send("neither id nor name", neither)
		ask := kmsg.NewPtrMetadataRequest()
		ask.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr(name + "-id")}}
		known, ok := c.send(10, ask).(*kmsg.MetadataResponse)
		if ok && len(known.Topics) == 1 {
			byID := deleting(version, "x", "y")
			byID.Topics[0].Topic, byID.Topics[0].TopicID = nil, known.Topics[0].TopicID
			byID.Topics[1] = byID.Topics[0]
			send("same id twice", byID)
		}
	}
}
