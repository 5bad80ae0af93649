package group

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// Describe tells about one group. A group that is not there is shown as Dead,
// without an error. Members' metadata and assignments are shown only while the
// group is Stable.
func (c *Coordinator) Describe(group string) kmsg.DescribeGroupsResponseGroup {
	row := kmsg.NewDescribeGroupsResponseGroup()
	row.Group = group
	err := c.with(group, true, func(s *shard) {
		row.State = Dead.String()
		if g := s.groups[group]; g != nil {
			g.describe(&row)
		}
	})
	row.ErrorCode = kerr.Code(err)
	return row
}

func (g *Group) describe(row *kmsg.DescribeGroupsResponseGroup) {
	row.State, row.ProtocolType = g.state.String(), g.protocolTypeOrEmpty()
	stable := g.state == Stable && g.protocol != nil
	if stable {
		row.Protocol = *g.protocol
	}
	for _, m := range g.sorted() {
		member := kmsg.NewDescribeGroupsResponseGroupMember()
		member.MemberID, member.InstanceID = m.id, m.instance
		member.ClientID, member.ClientHost = m.clientID, m.clientHost
		member.ProtocolMetadata, member.MemberAssignment = []byte{}, []byte{}
		if stable {
			member.ProtocolMetadata, member.MemberAssignment = nonNil(m.metadata(*g.protocol)), nonNil(m.assignment)
		}
		row.Members = append(row.Members, member)
	}
}

// ListGroups lists the groups of this broker, those of the given states when
// there are any, ordered by name.
func (c *Coordinator) ListGroups(req *kmsg.ListGroupsRequest) *kmsg.ListGroupsResponse {
	resp := kmsg.NewPtrListGroupsResponse()
	err := c.runtime.Each(func(s *shard) {
		for _, g := range s.groups {
			if len(req.StatesFilter) > 0 && !slices.Contains(req.StatesFilter, g.state.String()) {
				continue
			}
			row := kmsg.NewListGroupsResponseGroup()
			row.Group, row.ProtocolType, row.GroupState = g.id, g.protocolTypeOrEmpty(), g.state.String()
			resp.Groups = append(resp.Groups, row)
		}
	})
	slices.SortFunc(resp.Groups, func(a, b kmsg.ListGroupsResponseGroup) int { return strings.Compare(a.Group, b.Group) })
	resp.ErrorCode = kerr.Code(err)
	return resp
}

// Rebalances are the last rebalances of a group, oldest first.
func (c *Coordinator) Rebalances(group string) (list []Rebalance, err error) {
	err = c.with(group, true, func(s *shard) {
		if g := s.groups[group]; g != nil {
			list = slices.Clone(g.rebalances.last)
		}
	})
	return list, err
}

// DeleteGroups deletes groups without members, with their offsets. Names that
// are given twice are answered once.
func (c *Coordinator) DeleteGroups(req *kmsg.DeleteGroupsRequest) *kmsg.DeleteGroupsResponse {
	resp := kmsg.NewPtrDeleteGroupsResponse()
	var deleted []string
	offsets := 0
	for _, id := range req.Groups {
		if slices.ContainsFunc(resp.Groups, func(g kmsg.DeleteGroupsResponseGroup) bool { return g.Group == id }) {
			continue
		}
		row := kmsg.NewDeleteGroupsResponseGroup()
		row.Group = id
		n, err := c.deleteGroup(id)
		row.ErrorCode = kerr.Code(err)
		resp.Groups = append(resp.Groups, row)
		if err == nil {
			deleted, offsets = append(deleted, id), offsets+n
		}
	}
	if len(deleted) > 0 {
		c.log.Infof("%s The following groups were deleted: %s. A total of %d offsets were removed.", c.prefix(), strings.Join(deleted, ", "), offsets)
	}
	return resp
}

func (c *Coordinator) deleteGroup(id string) (offsets int, err error) {
	var failure *kerr.Error
	err = c.with(id, true, func(s *shard) {
		g := s.groups[id]
		switch {
		case g == nil || g.state == Dead:
			failure = kerr.GroupIDNotFound
		case g.state != Empty:
			failure = kerr.NonEmptyGroup
		default:
			offsets = len(g.offsets.committed)
			g.transition(Dead, time.Now())
			c.removeOffsets(s, g, g.offsets.partitions())
		}
	})
	if err == nil && failure != nil {
		err = failure
	}
	return offsets, err
}

// OffsetDelete forgets offsets that no member of the group is subscribed to.
func (c *Coordinator) OffsetDelete(req *kmsg.OffsetDeleteRequest) *kmsg.OffsetDeleteResponse {
	resp := kmsg.NewPtrOffsetDeleteResponse()
	err := c.with(req.Group, false, func(s *shard) {
		g := s.groups[req.Group]
		switch {
		case g == nil || g.state == Dead:
			resp.ErrorCode = kerr.GroupIDNotFound.Code
		case g.state != Empty && !g.isConsumer():
			resp.ErrorCode = kerr.NonEmptyGroup.Code
		default:
			c.deleteOffsets(s, g, req, resp)
		}
	})
	if err != nil {
		resp.ErrorCode = kerr.Code(err)
	}
	return resp
}

func (c *Coordinator) deleteOffsets(s *shard, g *Group, req *kmsg.OffsetDeleteRequest, resp *kmsg.OffsetDeleteResponse) {
	var remove []model.TopicPartition
	for _, t := range req.Topics {
		topic := kmsg.NewOffsetDeleteResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			row := kmsg.NewOffsetDeleteResponseTopicPartition()
			row.Partition = p.Partition
			if g.state != Empty && g.isSubscribedTo(t.Topic) {
				row.ErrorCode = kerr.GroupSubscribedToTopic.Code
			} else {
				remove = append(remove, model.TopicPartition{Topic: t.Topic, Partition: p.Partition})
			}
			topic.Partitions = append(topic.Partitions, row)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	if removed := c.removeOffsets(s, g, remove); len(removed) > 0 {
		c.log.Infof("%s The following offsets of the group %s were deleted: %s. A total of %d offsets were removed.", c.prefix(), g.id, names(removed), len(removed))
	}
}

// OnPartitionsDeleted forgets the offsets of partitions that are no more, in
// all groups.
func (c *Coordinator) OnPartitionsDeleted(partitions []model.TopicPartition) {
	if len(partitions) == 0 {
		return
	}
	removed := 0
	// Groups of partitions that are loading learn of it by their expiry.
	_ = c.runtime.Each(func(s *shard) {
		for _, id := range slices.Sorted(maps.Keys(s.groups)) {
			removed += len(c.removeOffsets(s, s.groups[id], partitions))
		}
	})
	c.log.Infof("%s Removed %d offsets associated with deleted partitions: %s.", c.prefix(), removed, names(partitions))
}

func names(partitions []model.TopicPartition) string {
	list := make([]string, len(partitions))
	for i, tp := range partitions {
		list[i] = tp.String()
	}
	return strings.Join(list, ", ")
}
