package replica

import (
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/commitlog"
	"gregor/pkg/kerr"
	"gregor/pkg/lifecycle"
	"gregor/pkg/model"
)

// LeaderChange is a partition whose leadership changed, and its new epoch;
// NoLeaderEpoch when the controller did not say.
type LeaderChange struct {
	model.TopicPartition
	Epoch model.LeaderEpoch
}

// LeadershipChange tells coordinators what they have gained and lost. It is
// delivered in the order of the controller's requests, before the answer to
// the controller; who receives it must not block and not call back into the
// state changes of the Manager.
type LeadershipChange struct {
	Leaders   []LeaderChange // this broker leads now
	Followers []LeaderChange // another broker leads now
	Deleted   []LeaderChange // the replica here is gone
}

// staleBrokerEpoch reports whether a request was meant for an earlier
// registration of this broker (KIP-380). Controllers before 2.2 send none.
func (m *Manager) staleBrokerEpoch(epoch int64) bool {
	return model.BrokerEpoch(epoch) != model.NoBrokerEpoch && model.BrokerEpoch(epoch) < m.options.BrokerEpoch()
}

// takeControllerEpoch refuses an older controller than the newest seen and
// otherwise remembers the epoch. changes is held.
func (m *Manager) takeControllerEpoch(request string, controller, epoch, correlationID int32) error {
	if model.ControllerEpoch(epoch) < m.controllerEpoch {
		m.stateChange.Warnf("[Broker id=%d] Ignoring %s request from controller %d with correlation id %d since its controller epoch %d is old. Latest known controller epoch is %d",
			m.options.BrokerID, request, controller, correlationID, epoch, m.controllerEpoch)
		return kerr.StaleControllerEpoch
	}
	m.controllerEpoch = model.ControllerEpoch(epoch)
	return nil
}

// PartitionResult is the effect of a state change for one partition.
type PartitionResult struct {
	model.TopicPartition
	Err error
}

// BecomeLeaderOrFollower carries out a LeaderAndIsr request of version 0 to 5.
// With an error nothing was done; otherwise there is a result for each
// partition, in the order of the request.
func (m *Manager) BecomeLeaderOrFollower(req *kmsg.LeaderAndISRRequest, correlationID int32) ([]PartitionResult, error) {
	if m.staleBrokerEpoch(req.BrokerEpoch) {
		return nil, kerr.StaleBrokerEpoch
	}
	start := time.Now()
	assignments, ids := assignmentsOf(req)
	m.stateChange.Infof("[Broker id=%d] Handling LeaderAndIsr request correlationId %d from controller %d for %d partitions",
		m.options.BrokerID, correlationID, req.ControllerID, len(assignments))
	m.changes.Lock()
	defer m.changes.Unlock()
	if err := m.takeControllerEpoch("LeaderAndIsr", req.ControllerID, req.ControllerEpoch, correlationID); err != nil {
		return nil, err
	}
	c := &change{manager: m, controller: req.ControllerID, correlationID: correlationID}
	results := make([]PartitionResult, len(assignments))
	accepted := make([]bool, len(assignments))
	for i := range assignments {
		a := &assignments[i]
		results[i].TopicPartition = model.TopicPartition{Topic: a.topic, Partition: a.partition}
		results[i].Err = c.check(i, a, ids[a.topic])
		accepted[i] = results[i].Err == nil
		if !accepted[i] {
			m.unhostUnused(results[i].TopicPartition)
		}
	}
	c.writeTopicIDs(results, accepted)
	c.stopFetching(assignments, accepted)
	effects := make([]effect, len(assignments))
	together(len(assignments), func(i int) {
		if accepted[i] {
			effects[i] = c.apply(&assignments[i])
		}
	})
	for i := range effects {
		if accepted[i] {
			results[i].Err = c.add(results[i].TopicPartition, &effects[i])
		}
	}
	m.following.add(c.follows)
	m.following.endIdle()
	m.resumeMoves(assignments, results)
	m.startCheckpointing()
	if m.options.OnLeadership != nil {
		m.options.OnLeadership(c.news)
	}
	m.stateChange.Infof("[Broker id=%d] Finished LeaderAndIsr request in %dms correlationId %d from controller %d for %d partitions",
		m.options.BrokerID, time.Since(start).Milliseconds(), correlationID, req.ControllerID, len(assignments))
	return results, nil
}

// change is one LeaderAndIsr request being carried out.
type change struct {
	manager       *Manager
	controller    int32
	correlationID int32
	unnamed       []unnamedLog
	news          LeadershipChange
	follows       []following // to be fetched from now on
}

// unnamedLog is a log that does not have its topic's id yet.
type unnamedLog struct {
	index int // of the assignment
	log   *commitlog.Log
	id    model.TopicID
}

// effect is what one accepted assignment came to.
type effect struct {
	err     error
	leader  bool
	epoch   model.LeaderEpoch
	follows *following // nil when there is nobody to fetch from
}

// applying is how many partitions change at a time. Most of it is waiting for
// the disk, which takes many small syncs together in the time of a few.
const applying = 16

// together runs f(0) to f(n-1), some of them at a time.
func together(n int, f func(i int)) {
	if n == 1 {
		f(0)
		return
	}
	_ = lifecycle.Shared("change partitions", applying, n, func(i int) error { // f has no error
		f(i)
		return nil
	})
}

// add takes up an effect, in the order of the request.
func (c *change) add(tp model.TopicPartition, o *effect) error {
	switch {
	case o.err != nil:
	case o.leader:
		c.news.Leaders = append(c.news.Leaders, LeaderChange{tp, o.epoch})
	case o.follows != nil:
		c.follows = append(c.follows, *o.follows)
		c.news.Followers = append(c.news.Followers, LeaderChange{tp, o.epoch})
	}
	return o.err
}

// writeTopicIDs gives logs the ids that check found them without.
func (c *change) writeTopicIDs(results []PartitionResult, accepted []bool) {
	together(len(c.unnamed), func(i int) {
		u := &c.unnamed[i]
		if err := u.log.SetTopicID(u.id); err != nil {
			results[u.index].Err, accepted[u.index] = err, false
		}
	})
}

// check decides whether an assignment, of which it is told the index, is to be
// carried out.
func (c *change) check(index int, a *assignment, id model.TopicID) error {
	m := c.manager
	p := m.host(model.TopicPartition{Topic: a.topic, Partition: a.partition})
	if p.offline.Load() {
		c.warn(a, "the local replica for the partition is in an offline log directory")
		return kerr.KafkaStorageError
	}
	if err := c.checkTopicID(p, index, a, id); err != nil {
		return err
	}
	current := p.State().LeaderEpoch
	switch {
	case a.leaderEpoch < current:
		c.warn(a, "its associated leader epoch %d is smaller than the current leader epoch %d", a.leaderEpoch, current)
		return kerr.StaleControllerEpoch
	case a.leaderEpoch == current:
		m.stateChange.Infof("[Broker id=%d] Ignoring LeaderAndIsr request from controller %d with correlation id %d epoch %d for partition %s since its associated leader epoch %d matches the current leader epoch",
			m.options.BrokerID, c.controller, c.correlationID, m.controllerEpoch, p.TopicPartition, a.leaderEpoch)
		return kerr.StaleControllerEpoch
	case !slices.Contains(a.replicas, m.options.BrokerID):
		c.warn(a, "the broker is not in the assigned replica list %v", commas(a.replicas))
		return kerr.UnknownTopicOrPartition
	}
	return nil
}

// checkTopicID compares the topic id of the request with that of the log and
// gives the log its id when it has none. A log that does not exist yet gets it
// with the next request, as in 2.8.
func (c *change) checkTopicID(p *Partition, index int, a *assignment, id model.TopicID) error {
	log := p.Log()
	if id.IsZero() || log == nil || !c.manager.options.TopicIDs {
		return nil
	}
	if log.TopicID().IsZero() {
		c.unnamed = append(c.unnamed, unnamedLog{index, log, id})
		return nil
	}
	if log.TopicID() != id {
		c.manager.stateChange.Errorf("[Broker id=%d] Topic ID in memory: %s does not match the topic ID in the request: %s for partition %s",
			c.manager.options.BrokerID, log.TopicID(), id, p.TopicPartition)
		return kerr.InconsistentTopicID
	}
	return nil
}

// stopFetching ends what was fetched under the old roles, so that nothing is
// appended while they change.
func (c *change) stopFetching(assignments []assignment, accepted []bool) {
	m := c.manager
	var lead, follow []model.TopicPartition
	for i := range assignments {
		tp := model.TopicPartition{Topic: assignments[i].topic, Partition: assignments[i].partition}
		switch {
		case !accepted[i]:
		case assignments[i].leader == m.options.BrokerID:
			lead = append(lead, tp)
		default:
			follow = append(follow, tp)
		}
	}
	if len(lead) > 0 {
		m.following.remove(lead)
		m.stateChange.Infof("[Broker id=%d] Stopped fetchers as part of LeaderAndIsr request correlationId %d from controller %d epoch %d as part of the become-leader transition for %d partitions",
			m.options.BrokerID, c.correlationID, c.controller, m.controllerEpoch, len(lead))
	}
	if len(follow) > 0 {
		m.following.remove(follow)
		m.stateChange.Infof("[Broker id=%d] Stopped fetchers as part of become-follower request from controller %d epoch %d with correlation id %d for %d partitions",
			m.options.BrokerID, c.controller, m.controllerEpoch, c.correlationID, len(follow))
	}
}

// apply makes this broker the leader or a follower of one partition.
// Several run at a time.
func (c *change) apply(a *assignment) effect {
	m := c.manager
	p := m.host(model.TopicPartition{Topic: a.topic, Partition: a.partition})
	log, err := m.openLog(p, a.isNew)
	if err != nil {
		m.stateChange.Errorf("[Broker id=%d] Skipped the state change for partition %s with correlation id %d from controller %d epoch %d: no log: %v",
			m.options.BrokerID, p.TopicPartition, c.correlationID, c.controller, m.controllerEpoch, err)
		p.fail()
		m.wake(p.TopicPartition)
		return effect{err: err}
	}
	defer m.wake(p.TopicPartition)
	if a.leader == m.options.BrokerID {
		return effect{err: c.lead(p, a, log), leader: true, epoch: a.leaderEpoch}
	}
	return effect{follows: c.follow(p, a, log), epoch: a.leaderEpoch}
}

func (c *change) lead(p *Partition, a *assignment, log *commitlog.Log) error {
	m := c.manager
	m.isr.forget(p.TopicPartition)
	newly, err := p.becomeLeader(a, log, m.stateChange)
	if err != nil {
		return err
	}
	if !newly {
		m.stateChange.Infof("[Broker id=%d] Skipped the become-leader state change after marking its partition as leader with correlation id %d from controller %d epoch %d for partition %s (last update controller epoch %d) since it is already the leader for the partition.",
			m.options.BrokerID, c.correlationID, c.controller, m.controllerEpoch, p.TopicPartition, a.controllerEpoch)
	}
	return nil
}

func (c *change) follow(p *Partition, a *assignment, log *commitlog.Log) *following {
	m := c.manager
	if _, alive := m.options.Metadata.Snapshot().Broker(a.leader); !alive {
		m.stateChange.Errorf("[Broker id=%d] Received LeaderAndIsrRequest with correlation id %d from controller %d epoch %d for partition %s (last update controller epoch %d) but cannot become follower since the new leader %d is unavailable.",
			m.options.BrokerID, c.correlationID, c.controller, m.controllerEpoch, p.TopicPartition, a.controllerEpoch, a.leader)
		p.hold(log)
		return nil
	}
	p.becomeFollower(a, log, m.stateChange)
	return &following{p, a.leader, a.leaderEpoch, p.initialOffset(m.options.Versions.TruncateOnFetch)}
}

// openLog finds or makes the log of a partition.
func (m *Manager) openLog(p *Partition, isNew bool) (*commitlog.Log, error) {
	if log := p.Log(); log != nil {
		return log, nil
	}
	missing := m.options.Logs.Get(p.TopicPartition) == nil
	log, err := m.options.Logs.GetOrCreate(p.TopicPartition, isNew, model.TopicID{})
	if err != nil {
		return nil, err
	}
	if missing && !isNew {
		m.partitionLog.Warnf("%sThe partition is not new but no log directory holds its log; it begins empty in %s. If its directory was removed by hand, its records are gone",
			p.logPrefix(), log.Dir())
	}
	high, known := m.options.Logs.HighWatermark(p.TopicPartition)
	if !known {
		m.partitionLog.Infof("%sNo checkpointed highwatermark is found for partition %s", p.logPrefix(), p.TopicPartition)
	}
	log.SetHighWatermark(max(min(high, log.LogEndOffset()), log.LogStartOffset()))
	m.partitionLog.Infof("%sLog loaded for partition %s with initial high watermark %d", p.logPrefix(), p.TopicPartition, log.HighWatermark())
	return log, nil
}

func (c *change) warn(a *assignment, why string, args ...any) {
	m := c.manager
	m.stateChange.Warnf("[Broker id=%d] Ignoring LeaderAndIsr request from controller %d with correlation id %d epoch %d for partition %s-%d since %s",
		m.options.BrokerID, c.controller, c.correlationID, m.controllerEpoch, a.topic, a.partition, fmt.Sprintf(why, args...))
}

// assignmentsOf reads the partitions of a request, which version 2 and later
// send by topic, and the topic ids of version 5.
func assignmentsOf(req *kmsg.LeaderAndISRRequest) ([]assignment, map[string]model.TopicID) {
	ids := map[string]model.TopicID{}
	var list []assignment
	if req.Version < 2 {
		for i := range req.PartitionStates {
			list = append(list, assignmentOf(req.PartitionStates[i].Topic, &req.PartitionStates[i]))
		}
		return list, ids
	}
	for i := range req.TopicStates {
		t := &req.TopicStates[i]
		ids[t.Topic] = t.TopicID
		for j := range t.PartitionStates {
			list = append(list, assignmentOf(t.Topic, &t.PartitionStates[j]))
		}
	}
	return list, ids
}

func assignmentOf(topic string, s *kmsg.LeaderAndISRRequestTopicPartition) assignment {
	return assignment{
		topic:           topic,
		partition:       s.Partition,
		leader:          model.BrokerID(s.Leader),
		leaderEpoch:     model.LeaderEpoch(s.LeaderEpoch),
		controllerEpoch: model.ControllerEpoch(s.ControllerEpoch),
		partitionEpoch:  model.PartitionEpoch(s.ZKVersion),
		isr:             brokerIDs(s.ISR),
		replicas:        brokerIDs(s.Replicas),
		adding:          brokerIDs(s.AddingReplicas),
		removing:        brokerIDs(s.RemovingReplicas),
		isNew:           s.IsNew,
	}
}

func brokerIDs(ids []int32) []model.BrokerID {
	list := make([]model.BrokerID, len(ids))
	for i, id := range ids {
		list[i] = model.BrokerID(id)
	}
	return list
}
