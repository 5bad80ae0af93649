//go:build compat

package compat

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func joining(group, member string, protocols ...string) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.ProtocolType = group, member, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 30000, 30000
	for _, name := range protocols {
		req.Protocols = append(req.Protocols, kmsg.JoinGroupRequestProtocol{Name: name, Metadata: []byte{0, 1, 0, 0, 0, 1, 0, 5, 'p', 'l', 'a', 'i', 'n', 0, 0, 0, 0}})
	}
	return req
}

// join makes a member of a group, as a client does.
func (c *conv) join(what string, version int16, req *kmsg.JoinGroupRequest) *kmsg.JoinGroupResponse {
	resp := ask[*kmsg.JoinGroupResponse](c, what, version, req)
	if resp.ErrorCode == 79 {
		req.MemberID = resp.MemberID
		resp = ask[*kmsg.JoinGroupResponse](c, what+", with its id", version, req)
	}
	return resp
}

func syncing(group, member string, generation int32, assignments ...string) *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.Generation = group, member, generation
	req.ProtocolType, req.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	for _, to := range assignments {
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID, a.MemberAssignment = to, []byte{0, 1, 0, 0, 0, 0, 0, 0, 0, 0}
		req.GroupAssignment = append(req.GroupAssignment, a)
	}
	return req
}

func beating(group, member string, generation int32, instance *string) *kmsg.HeartbeatRequest {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation, req.InstanceID = group, member, generation, instance
	return req
}

func leaving(group, member string, instance *string) *kmsg.LeaveGroupRequest {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID = group, member
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID, m.InstanceID = member, instance
	req.Members = append(req.Members, m)
	return req
}

func describingGroups(groups ...string) *kmsg.DescribeGroupsRequest {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups, req.IncludeAuthorizedOperations = groups, true
	return req
}

func groupScript(c *conv) {
	c.strangers()
	for version := range c.both(11) {
		c.life(version)
		c.refusedJoins(version)
	}
	for version := int16(5); version <= 7; version++ {
		c.static(version)
	}
	c.lists()
}

// strangers asks about groups and members that do not exist.
func (c *conv) strangers() {
	for _, group := range []string{"nobody", ""} {
		g := fmt.Sprintf("group %q", group)
		c.each("heartbeat, "+g, func(int16) kmsg.Request { return beating(group, "m", 1, nil) })
		c.each("heartbeat without member, "+g, func(int16) kmsg.Request { return beating(group, "", -1, nil) })
		c.each("sync, "+g, func(int16) kmsg.Request { return syncing(group, "m", 1) })
		c.each("leave, "+g, func(int16) kmsg.Request { return leaving(group, "m", nil) })
		c.each("leave without member, "+g, func(int16) kmsg.Request { return leaving(group, "", nil) })
		c.each("leave by instance, "+g, func(int16) kmsg.Request { return leaving(group, "", kmsg.StringPtr("i")) })
		c.each("describe, "+g, func(int16) kmsg.Request { return describingGroups(group) })
		c.each("delete, "+g, func(int16) kmsg.Request {
			req := kmsg.NewPtrDeleteGroupsRequest()
			req.Groups = []string{group}
			return req
		})
		c.each("join with an id, "+g, func(int16) kmsg.Request { return joining(group, "m", "range") })
		c.each("delete offsets, "+g, func(int16) kmsg.Request { return deletingOffsets(group, "plain", 0) })
	}
	c.each("join without group", func(int16) kmsg.Request { return joining("", "", "range") })
	c.each("leave, nobody", func(version int16) kmsg.Request {
		req := leaving("nobody", "m", nil)
		req.Members = nil
		return req
	})
	c.each("describe nothing", func(int16) kmsg.Request { return describingGroups() })
	c.each("describe twice", func(int16) kmsg.Request { return describingGroups("nobody", "nobody") })
	c.each("delete nothing", func(int16) kmsg.Request { return kmsg.NewPtrDeleteGroupsRequest() })
	c.each("delete twice", func(int16) kmsg.Request {
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.Groups = []string{"nobody", "nobody"}
		return req
	})
	for _, key := range []string{"g", "", strings.Repeat("k", 300)} {
		for _, kind := range []int8{0, 1, 2, -1} {
			if kind == 1 {
				continue // creates the transaction topic: a later issue
			}
			c.each(fmt.Sprintf("coordinator of %.5q, type %d", key, kind), func(version int16) kmsg.Request {
				req := kmsg.NewPtrFindCoordinatorRequest()
				req.CoordinatorKey, req.CoordinatorType = key, kind
				return req
			})
		}
	}
}

// refusedJoins are joins that are refused, each in a group of its own.
func (c *conv) refusedJoins(version int16) {
	for i, r := range []struct {
		what   string
		change func(*kmsg.JoinGroupRequest)
	}{
		{"session timeout 1", func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1 }},
		{"session timeout 0", func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 0 }},
		{"session timeout -1", func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = -1 }},
		{"session timeout huge", func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1<<31 - 1 }},
		{"no protocols", func(r *kmsg.JoinGroupRequest) { r.Protocols = nil }},
		{"no protocol type", func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "" }},
		{"rebalance timeout 0", func(r *kmsg.JoinGroupRequest) { r.RebalanceTimeoutMillis = 0 }},
		{"rebalance timeout -1", func(r *kmsg.JoinGroupRequest) { r.RebalanceTimeoutMillis = -1 }},
		{"empty protocol name", func(r *kmsg.JoinGroupRequest) { r.Protocols[0].Name = "" }},
		{"unknown member", func(r *kmsg.JoinGroupRequest) { r.MemberID = "someone" }},
	} {
		req := joining(fmt.Sprintf("refused-%d-%d", version, i), "", "range")
		r.change(req)
		c.join("join, "+r.what, version, req)
	}
}

// life takes a group from its first member to its deletion.
func (c *conv) life(version int16) {
	group := fmt.Sprint("life-", version)
	joined := c.join("first joins", version, joining(group, "", "range", "roundrobin"))
	me, generation := joined.MemberID, joined.Generation
	like := func(key int16) int16 { // the other APIs' versions grow along
		r := c.common[key]
		return max(r[0], min(version, r[1]))
	}
	say := func(what string, version int16, req kmsg.Request) { ask[kmsg.Response](c, what, version, req) }
	say("describe, joined", like(15), describingGroups(group))
	say("heartbeat before sync", like(12), beating(group, me, generation, nil))
	say("sync, wrong generation", like(14), syncing(group, me, generation+1, me))
	say("sync, unknown member", like(14), syncing(group, "x", generation, me))
	wrong := syncing(group, me, generation, me)
	wrong.ProtocolType = kmsg.StringPtr("connect")
	say("sync, wrong protocol type", like(14), wrong)
	wrong = syncing(group, me, generation, me)
	wrong.Protocol = kmsg.StringPtr("sticky")
	say("sync, wrong protocol", like(14), wrong)
	wrong = syncing(group, me, generation, me)
	wrong.Protocol, wrong.ProtocolType = nil, nil
	if like(14) >= 5 {
		say("sync, no protocol", like(14), wrong)
	}
	say("commit before sync", like(8), committing(group, me, generation, nil, "plain", 0, 1, ""))
	say("sync", like(14), syncing(group, me, generation, me))
	say("sync again", like(14), syncing(group, me, generation))
	say("describe, stable", like(15), describingGroups(group))
	say("heartbeat", like(12), beating(group, me, generation, nil))
	say("heartbeat, wrong generation", like(12), beating(group, me, generation+1, nil))
	say("heartbeat, negative generation", like(12), beating(group, me, -1, nil))
	say("heartbeat, unknown member", like(12), beating(group, "x", generation, nil))
	say("heartbeat, unknown instance", like(12), beating(group, me, generation, kmsg.StringPtr("i")))
	say("commit", like(8), committing(group, me, generation, nil, "plain", 0, 7, "note"))
	say("commit, wrong generation", like(8), committing(group, me, generation+1, nil, "plain", 0, 7, ""))
	say("commit, unknown member", like(8), committing(group, "x", generation, nil, "plain", 0, 7, ""))
	say("commit without member", like(8), committing(group, "", -1, nil, "plain", 0, 8, ""))
	say("commit, unknown instance", like(8), committing(group, me, generation, kmsg.StringPtr("i"), "plain", 0, 7, ""))
	say("fetch", like(9), fetchingOffsets(group, "plain", 0))
	say("delete offsets, subscribed", 0, deletingOffsets(group, "plain", 0))
	say("delete offsets, not subscribed", 0, deletingOffsets(group, "multi", 0))
	say("delete, not empty", like(42), &kmsg.DeleteGroupsRequest{Groups: []string{group}})
	say("join, other protocol type", version, withType(joining(group, "", "range"), "connect"))
	say("join, other protocols", version, joining(group, "", "sticky"))
	say("join, unknown id", version, joining(group, "stranger", "range"))
	say("rejoins", version, joining(group, me, "range", "roundrobin"))
	generation++
	say("sync after rejoining", like(14), syncing(group, me, generation, me))
	c.second(version, group, me, generation)
}

func withType(req *kmsg.JoinGroupRequest, kind string) *kmsg.JoinGroupRequest {
	req.ProtocolType = kind
	return req
}

// second lets a second member join, both sync, and both leave.
func (c *conv) second(version int16, group, me string, generation int32) {
	like := func(key int16) int16 {
		r := c.common[key]
		return max(r[0], min(version, r[1]))
	}
	o := c.other()
	o.client = "cli2"
	defer o.close()
	done := make(chan *kmsg.JoinGroupResponse)
	go func() { done <- o.join("second joins", version, joining(group, "", "roundrobin", "range")) }()
	eventually(c.t, answerMax, "a rebalance", func() bool {
		resp, ok := c.send(0, beating(group, me, generation, nil)).(*kmsg.HeartbeatResponse)
		return !ok || resp.ErrorCode != 0
	})
	ask[kmsg.Response](c, "heartbeat while rebalancing", like(12), beating(group, me, generation, nil))
	ask[kmsg.Response](c, "describe while rebalancing", like(15), describingGroups(group))
	ask[kmsg.Response](c, "commit while rebalancing", like(8), committing(group, me, generation, nil, "plain", 0, 9, ""))
	ask[kmsg.Response](c, "sync while rebalancing", like(14), syncing(group, me, generation, me))
	leader := ask[*kmsg.JoinGroupResponse](c, "leader rejoins", version, joining(group, me, "range", "roundrobin"))
	follower := <-done
	c.record(label(joining("", ""), version, "members seen"), []string{fmt.Sprint("leader: ", len(leader.Members), " follower: ", len(follower.Members))})
	generation = leader.Generation
	synced := make(chan struct{})
	go func() {
		defer close(synced)
		ask[kmsg.Response](o, "follower syncs", like(14), protocolled(syncing(group, follower.MemberID, generation), leader.Protocol))
	}()
	ask[kmsg.Response](c, "leader syncs", like(14), protocolled(syncing(group, me, generation, me, follower.MemberID), leader.Protocol))
	<-synced
	ask[kmsg.Response](c, "second leaves", like(13), leaving(group, follower.MemberID, nil))
	ask[kmsg.Response](c, "second leaves again", like(13), leaving(group, follower.MemberID, nil))
	ask[kmsg.Response](c, "heartbeat after leaving", like(12), beating(group, me, generation, nil))
	if like(13) >= 3 {
		req := leaving(group, "x", nil)
		req.Members = append(req.Members, leaving("", me, nil).Members...)
		ask[kmsg.Response](c, "first and a stranger leave", like(13), req)
	} else {
		ask[kmsg.Response](c, "first leaves", like(13), leaving(group, me, nil))
	}
	ask[kmsg.Response](c, "describe, empty", like(15), describingGroups(group))
	ask[kmsg.Response](c, "heartbeat, empty", like(12), beating(group, me, generation, nil))
	ask[kmsg.Response](c, "commit, empty, old member", like(8), committing(group, me, generation, nil, "plain", 0, 7, ""))
	ask[kmsg.Response](c, "commit, empty, nobody", like(8), committing(group, "", -1, nil, "plain", 0, 12, ""))
	ask[kmsg.Response](c, "delete offsets, empty", 0, deletingOffsets(group, "plain", 0))
	ask[kmsg.Response](c, "delete offsets, unknown", 0, deletingOffsets(group, "nowhere", 5))
	ask[kmsg.Response](c, "fetch after", like(9), fetchingOffsets(group, "plain", 0))
	ask[kmsg.Response](c, "delete", like(42), &kmsg.DeleteGroupsRequest{Groups: []string{group, group, "nobody"}})
	ask[kmsg.Response](c, "describe, deleted", like(15), describingGroups(group))
}

func protocolled(req *kmsg.SyncGroupRequest, protocol *string) *kmsg.SyncGroupRequest {
	req.Protocol = protocol
	return req
}

// static takes a static member through its life.
func (c *conv) static(version int16) {
	group := fmt.Sprint("static-", version)
	instance := kmsg.StringPtr("inst")
	with := func(req *kmsg.JoinGroupRequest) *kmsg.JoinGroupRequest { req.InstanceID = instance; return req }
	first := ask[*kmsg.JoinGroupResponse](c, "static joins", version, with(joining(group, "", "range")))
	me, generation := first.MemberID, first.Generation
	sync := syncing(group, me, generation, me)
	sync.InstanceID = instance
	ask[kmsg.Response](c, "static syncs", min(version-2, 5), sync)
	ask[kmsg.Response](c, "static beats", 4, beating(group, me, generation, instance))
	ask[kmsg.Response](c, "static beats, other member id", 4, beating(group, "x", generation, instance))
	ask[kmsg.Response](c, "static beats, other instance", 4, beating(group, me, generation, kmsg.StringPtr("y")))
	ask[kmsg.Response](c, "static described", 5, describingGroups(group))
	ask[kmsg.Response](c, "static commits", 7, committing(group, me, generation, instance, "plain", 0, 3, ""))
	ask[kmsg.Response](c, "static commits, other member id", 7, committing(group, "x", generation, instance, "plain", 0, 3, ""))
	ask[kmsg.Response](c, "static joins, other member id", version, with(joining(group, "x", "range")))
	second := ask[*kmsg.JoinGroupResponse](c, "static returns", version, with(joining(group, "", "range")))
	ask[kmsg.Response](c, "fenced beats", 4, beating(group, me, generation, instance))
	ask[kmsg.Response](c, "fenced syncs", 4, sync)
	ask[kmsg.Response](c, "replacement beats", 4, beating(group, second.MemberID, second.Generation, instance))
	ask[kmsg.Response](c, "static described after", 4, describingGroups(group))
	ask[kmsg.Response](c, "fenced leaves", 4, leaving(group, me, instance))
	ask[kmsg.Response](c, "unknown instance leaves", 4, leaving(group, "", kmsg.StringPtr("y")))
	ask[kmsg.Response](c, "instance leaves", 4, leaving(group, "", instance))
	ask[kmsg.Response](c, "static described at the end", 4, describingGroups(group))
}

// lists asks for the groups that are left.
func (c *conv) lists() {
	for _, states := range [][]string{nil, {}, {"Stable"}, {"Empty"}, {"empty"}, {"Dead"}, {"NoSuchState"}, {"Stable", "Empty"}} {
		c.each(fmt.Sprint("list ", states), func(version int16) kmsg.Request {
			req := kmsg.NewPtrListGroupsRequest()
			req.StatesFilter = states
			return req
		})
	}
}

func deletingOffsets(group, topic string, partition int32) *kmsg.OffsetDeleteRequest {
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = group
	rt := kmsg.NewOffsetDeleteRequestTopic()
	rt.Topic, rt.Partitions = topic, []kmsg.OffsetDeleteRequestTopicPartition{{Partition: partition}}
	req.Topics = append(req.Topics, rt)
	return req
}

func committing(group, member string, generation int32, instance *string, topic string, partition int32, offset int64, metadata string) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.Generation, req.InstanceID, req.RetentionTimeMillis = group, member, generation, instance, -1
	rt, rp := kmsg.NewOffsetCommitRequestTopic(), kmsg.NewOffsetCommitRequestTopicPartition()
	rp.Partition, rp.Offset, rp.Metadata, rp.Timestamp = partition, offset, &metadata, -1
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

func fetchingOffsets(group, topic string, partitions ...int32) *kmsg.OffsetFetchRequest {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = group
	rt := kmsg.NewOffsetFetchRequestTopic()
	rt.Topic, rt.Partitions = topic, partitions
	req.Topics = append(req.Topics, rt)
	return req
}

func offsetCommitScript(c *conv) {
	commit := func(what string, change func(*kmsg.OffsetCommitRequest)) {
		c.each(what, func(version int16) kmsg.Request {
			req := committing(fmt.Sprint("offsets-", version), "", -1, nil, "plain", 0, 5, "m")
			if change != nil {
				change(req)
			}
			return req
		})
		for version := range c.both(9) {
			ask[kmsg.Response](c, "after "+what, version, fetchingOffsets(fmt.Sprint("offsets-", version), "plain", 0))
		}
	}
	partition := func(change func(*kmsg.OffsetCommitRequestTopicPartition)) func(*kmsg.OffsetCommitRequest) {
		return func(r *kmsg.OffsetCommitRequest) { change(&r.Topics[0].Partitions[0]) }
	}
	commit("good", nil)
	commit("null metadata", partition(func(p *kmsg.OffsetCommitRequestTopicPartition) { p.Metadata = nil }))
	commit("long metadata", partition(func(p *kmsg.OffsetCommitRequestTopicPartition) {
		p.Metadata = kmsg.StringPtr(strings.Repeat("m", 4096))
	}))
	commit("too long metadata", partition(func(p *kmsg.OffsetCommitRequestTopicPartition) {
		p.Metadata = kmsg.StringPtr(strings.Repeat("m", 4097))
	}))
	commit("negative offset", partition(func(p *kmsg.OffsetCommitRequestTopicPartition) { p.Offset = -1 }))
	commit("very negative offset", partition(func(p *kmsg.OffsetCommitRequestTopicPartition) { p.Offset = -99 }))
	commit("leader epoch", partition(func(p *kmsg.OffsetCommitRequestTopicPartition) { p.LeaderEpoch = 3 }))
	commit("unknown partition", partition(func(p *kmsg.OffsetCommitRequestTopicPartition) { p.Partition = 8 }))
	commit("negative partition", partition(func(p *kmsg.OffsetCommitRequestTopicPartition) { p.Partition = -8 }))
	commit("unknown topic", func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Topic = "nowhere" })
	commit("empty topic", func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Topic = "" })
	commit("good and unknown", func(r *kmsg.OffsetCommitRequest) {
		r.Topics = append(r.Topics, committing("", "", -1, nil, "nowhere", 0, 1, "").Topics...)
	})
	commit("no topics", func(r *kmsg.OffsetCommitRequest) { r.Topics = nil })
	commit("no partitions", func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions = nil })
	commit("same twice", func(r *kmsg.OffsetCommitRequest) { r.Topics = append(r.Topics, r.Topics[0]) })
	commit("generation 3", func(r *kmsg.OffsetCommitRequest) { r.Generation = 3 })
	commit("member, no group", func(r *kmsg.OffsetCommitRequest) { r.MemberID = "x" })
	commit("retention", func(r *kmsg.OffsetCommitRequest) { r.RetentionTimeMillis = 100000 })
	commit("empty group", func(r *kmsg.OffsetCommitRequest) { r.Group = "" })
	commit("unknown group and generation", func(r *kmsg.OffsetCommitRequest) { r.Group, r.Generation = "unheard", 1 })
	fetch := func(what string, build func(version int16) *kmsg.OffsetFetchRequest) {
		c.each("fetch "+what, func(version int16) kmsg.Request {
			if req := build(version); req != nil {
				return req
			}
			return nil
		})
	}
	group := func(version int16) string { return fmt.Sprint("offsets-", version) }
	fetch("unknown partition", func(v int16) *kmsg.OffsetFetchRequest { return fetchingOffsets(group(v), "plain", 0, 9, -1) })
	fetch("unknown topic", func(v int16) *kmsg.OffsetFetchRequest { return fetchingOffsets(group(v), "nowhere", 0) })
	fetch("unknown group", func(v int16) *kmsg.OffsetFetchRequest { return fetchingOffsets("nobody", "plain", 0) })
	fetch("empty group", func(v int16) *kmsg.OffsetFetchRequest { return fetchingOffsets("", "plain", 0) })
	fetch("no partitions", func(v int16) *kmsg.OffsetFetchRequest { return fetchingOffsets(group(v), "plain") })
	fetch("same twice", func(v int16) *kmsg.OffsetFetchRequest { return fetchingOffsets(group(v), "plain", 0, 0) })
	fetch("no topics", func(v int16) *kmsg.OffsetFetchRequest {
		req := fetchingOffsets(group(v), "plain", 0)
		req.Topics = []kmsg.OffsetFetchRequestTopic{}
		return req
	})
	for _, g := range []string{"offsets-8", "nobody", ""} {
		fetch("all of "+g, func(v int16) *kmsg.OffsetFetchRequest {
			if v < 2 {
				return nil
			}
			req := fetchingOffsets(g, "plain", 0)
			req.Topics, req.RequireStable = nil, true
			return req
		})
	}
}

func producerScript(c *conv) {
	init := func(what string, change func(*kmsg.InitProducerIDRequest)) {
		c.each(what, func(int16) kmsg.Request {
			req := kmsg.NewPtrInitProducerIDRequest()
			req.TransactionTimeoutMillis = 60000
			change(req)
			return req
		})
	}
	init("good", func(*kmsg.InitProducerIDRequest) {})
	init("timeout 0", func(r *kmsg.InitProducerIDRequest) { r.TransactionTimeoutMillis = 0 })
	init("timeout -1", func(r *kmsg.InitProducerIDRequest) { r.TransactionTimeoutMillis = -1 })
	init("timeout huge", func(r *kmsg.InitProducerIDRequest) { r.TransactionTimeoutMillis = 1<<31 - 1 })
	init("empty transactional id", func(r *kmsg.InitProducerIDRequest) { r.TransactionalID = kmsg.StringPtr("") })
	init("id and epoch", func(r *kmsg.InitProducerIDRequest) { r.ProducerID, r.ProducerEpoch = 1, 3 })
	init("id only", func(r *kmsg.InitProducerIDRequest) { r.ProducerID = 1 })
	init("epoch only", func(r *kmsg.InitProducerIDRequest) { r.ProducerEpoch = 1 })
	init("negative id", func(r *kmsg.InitProducerIDRequest) { r.ProducerID, r.ProducerEpoch = -7, 0 })
}
