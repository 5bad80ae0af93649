package group

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
)

// Client is who sent a request.
type Client struct {
	ID   string
	Host string // "/127.0.0.1"
}

// with runs f in the shard of the group, if the id is valid and the group is
// ours to coordinate.
func (c *Coordinator) with(group string, allowEmptyID bool, f func(s *shard)) error {
	if group == "" && !allowEmptyID {
		return kerr.InvalidGroupID
	}
	return c.runtime.With(c.PartitionFor(group), f)
}

// JoinGroup answers when the group has gone on to its next generation. When
// ctx ends before, it returns nil, and the member stays in the group.
func (c *Coordinator) JoinGroup(ctx context.Context, req *kmsg.JoinGroupRequest, client Client) *kmsg.JoinGroupResponse {
	reply := make(chan JoinResult, 1)
	err := c.with(req.Group, false, func(s *shard) { c.join(s, req, client, reply) })
	if err != nil {
		return joinResponse(req, joinError(req.MemberID, kerr.Of(err)))
	}
	select {
	case r := <-reply:
		return joinResponse(req, r)
	case <-ctx.Done():
		return nil
	}
}

func (c *Coordinator) join(s *shard, req *kmsg.JoinGroupRequest, client Client, reply chan<- JoinResult) {
	session := time.Duration(req.SessionTimeoutMillis) * time.Millisecond
	if session < c.config.MinSessionTimeout || session > c.config.MaxSessionTimeout {
		reply <- joinError(req.MemberID, kerr.InvalidSessionTimeout)
		return
	}
	if s.groups[req.Group] == nil && req.MemberID != "" {
		reply <- joinError(req.MemberID, kerr.UnknownMemberID)
		return
	}
	rebalance := session
	if req.Version >= 1 {
		rebalance = time.Duration(req.RebalanceTimeoutMillis) * time.Millisecond
	}
	protocols := make([]Protocol, 0, len(req.Protocols))
	for _, p := range req.Protocols {
		protocols = append(protocols, Protocol{Name: p.Name, Metadata: append([]byte{}, p.Metadata...)})
	}
	s.lastTicket++
	s.joins[s.lastTicket] = reply
	g := c.groupOf(s, req.Group)
	c.apply(s, g, g.Join(time.Now(), Join{
		Ticket: s.lastTicket, MemberID: req.MemberID, Instance: req.InstanceID, RequireKnownID: req.Version >= 4,
		ClientID: client.ID, ClientHost: client.Host, SessionTimeout: session, RebalanceTimeout: rebalance,
		ProtocolType: req.ProtocolType, Protocols: protocols,
	}))
}

func joinResponse(req *kmsg.JoinGroupRequest, r JoinResult) *kmsg.JoinGroupResponse {
	resp := kmsg.NewPtrJoinGroupResponse()
	if r.Err != nil {
		resp.ErrorCode = r.Err.Code
	}
	resp.Generation, resp.MemberID, resp.LeaderID = r.Generation, r.MemberID, r.LeaderID
	resp.ProtocolType, resp.Protocol = r.ProtocolType, r.Protocol
	if req.Version < 7 && resp.Protocol == nil {
		empty := ""
		resp.Protocol = &empty
	}
	for _, m := range r.Members {
		row := kmsg.NewJoinGroupResponseMember()
		row.MemberID, row.InstanceID, row.ProtocolMetadata = m.ID, m.Instance, m.Metadata
		resp.Members = append(resp.Members, row)
	}
	return resp
}

// SyncGroup answers when the group's assignments are in the log. When ctx ends
// before, it returns nil.
func (c *Coordinator) SyncGroup(ctx context.Context, req *kmsg.SyncGroupRequest) *kmsg.SyncGroupResponse {
	reply := make(chan SyncResult, 1)
	err := c.with(req.Group, false, func(s *shard) { c.sync(s, req, reply) })
	switch kerr.Of(err) {
	case nil:
	case kerr.CoordinatorLoadInProgress:
		// What the leader sent is lost; the group is to begin again.
		return syncResponse(SyncResult{Err: kerr.RebalanceInProgress})
	default:
		return syncResponse(SyncResult{Err: kerr.Of(err)})
	}
	select {
	case r := <-reply:
		return syncResponse(r)
	case <-ctx.Done():
		return nil
	}
}

func (c *Coordinator) sync(s *shard, req *kmsg.SyncGroupRequest, reply chan<- SyncResult) {
	g := s.groups[req.Group]
	if g == nil {
		reply <- SyncResult{Err: kerr.UnknownMemberID}
		return
	}
	assignments := make(map[string][]byte, len(req.GroupAssignment))
	for _, a := range req.GroupAssignment {
		assignments[a.MemberID] = append([]byte{}, a.MemberAssignment...)
	}
	s.lastTicket++
	s.syncs[s.lastTicket] = reply
	c.apply(s, g, g.Sync(time.Now(), Sync{
		Ticket: s.lastTicket, MemberID: req.MemberID, Instance: req.InstanceID, Generation: req.Generation,
		ProtocolType: req.ProtocolType, Protocol: req.Protocol, Assignments: assignments,
	}))
}

func syncResponse(r SyncResult) *kmsg.SyncGroupResponse {
	resp := kmsg.NewPtrSyncGroupResponse()
	if r.Err != nil {
		resp.ErrorCode = r.Err.Code
	}
	resp.ProtocolType, resp.Protocol, resp.MemberAssignment = r.ProtocolType, r.Protocol, nonNil(r.Assignment)
	return resp
}

// Heartbeat keeps a member's session alive.
func (c *Coordinator) Heartbeat(req *kmsg.HeartbeatRequest) *kmsg.HeartbeatResponse {
	resp := kmsg.NewPtrHeartbeatResponse()
	err := c.with(req.Group, false, func(s *shard) {
		g := s.groups[req.Group]
		if g == nil {
			resp.ErrorCode = kerr.UnknownMemberID.Code
			return
		}
		err, out := g.Heartbeat(time.Now(), req.MemberID, req.InstanceID, req.Generation)
		if err != nil {
			resp.ErrorCode = err.Code
		}
		// The deadline has only moved to later: the timer finds out itself.
		c.writeLines(out.Lines)
	})
	if err != nil && kerr.Of(err) != kerr.CoordinatorLoadInProgress {
		resp.ErrorCode = kerr.Code(err)
	}
	return resp
}

// LeaveGroup takes members out of a group; before version 3 it is one.
func (c *Coordinator) LeaveGroup(req *kmsg.LeaveGroupRequest) *kmsg.LeaveGroupResponse {
	leaving := req.Members
	if req.Version < 3 {
		only := kmsg.NewLeaveGroupRequestMember()
		only.MemberID = req.MemberID
		leaving = []kmsg.LeaveGroupRequestMember{only}
	}
	resp := kmsg.NewPtrLeaveGroupResponse()
	err := c.with(req.Group, false, func(s *shard) {
		g := s.groups[req.Group]
		if g != nil && g.state == Dead {
			resp.ErrorCode = kerr.CoordinatorNotAvailable.Code
			return
		}
		for _, l := range leaving {
			row := kmsg.NewLeaveGroupResponseMember()
			row.MemberID, row.InstanceID = l.MemberID, l.InstanceID
			row.ErrorCode = c.leave(s, g, Leave{MemberID: l.MemberID, Instance: l.InstanceID})
			resp.Members = append(resp.Members, row)
		}
	})
	if err != nil {
		resp.ErrorCode = kerr.Code(err)
	}
	if req.Version < 3 && len(resp.Members) > 0 {
		resp.ErrorCode, resp.Members = resp.Members[0].ErrorCode, nil
	}
	return resp
}

func (c *Coordinator) leave(s *shard, g *Group, l Leave) int16 {
	if g == nil {
		return kerr.UnknownMemberID.Code
	}
	err, out := g.Leave(time.Now(), l)
	c.apply(s, g, out)
	if err != nil {
		return err.Code
	}
	return 0
}
