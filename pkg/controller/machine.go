package controller

import (
	"maps"

	"gregor/pkg/model"
)

// settings are what the machine goes by.
type settings struct {
	ID                  model.BrokerID
	InterBrokerListener string
	Versions            Versions
	DeleteTopicEnable   bool
	ImbalancePercentage int
}

// machine is the controller without goroutines, sockets and time: events are
// calls, which change the cluster in memory, write znodes through Store and
// hand requests to Sender. All calls come from the event loop.
//
// An error that a method returns ends the event: ZooKeeper could not be
// written or another controller was elected. A partition or replica that
// cannot make a transition is logged and left where it is.
type machine struct {
	settings settings
	store    Store
	sender   Sender
	log      *lines
	c        *cluster
	state    line // state.change.logger with the epoch
	// post enters an event; Sender's answers come back through it.
	post func(name string, run func() error)
	// watchTopic and unwatchTopic follow the data of a topic's znode.
	watchTopic, unwatchTopic func(topic string)
	// watchBroker and unwatchBroker follow the data of a registration.
	watchBroker, unwatchBroker func(id model.BrokerID)
	// watchState and unwatchState follow the state of a partition that is
	// being reassigned, where leaders change ISRs in ZooKeeper themselves.
	watchState, unwatchState func(tp model.TopicPartition)
	newTopicID               func() model.TopicID

	leadersWrite    bool  // a leader has written an ISR itself: not all run this protocol version
	reassignRequest int64 // the latest /admin/reassign_partitions that was handled
}

func (m *machine) topicID(name string) model.TopicID {
	if t := m.c.topics[name]; t != nil {
		return t.id
	}
	return model.TopicID{}
}

// ---- partitions

// movePartitions makes partitions enter a state and tells the brokers. Those
// that may not enter it from where they are, or fail to, are logged.
// It returns the errors by partition.
func (m *machine) movePartitions(list []*partition, to PartitionState, by strategy) (map[model.TopicPartition]error, error) {
	failed := map[model.TopicPartition]error{}
	if len(list) == 0 {
		return failed, nil
	}
	b := m.newBatch()
	var valid []*partition
	for _, p := range list {
		if contains(partitionMayBecome[to], p.state) {
			valid = append(valid, p)
			continue
		}
		failed[p.TopicPartition] = illegalState("Partition %s should be in one of the %s states before moving to %s state. Instead it is in %s state",
			p, join(partitionMayBecome[to]), to, p.state)
		m.failedPartition(p, to, failed[p.TopicPartition])
	}
	switch to {
	case NewPartition:
		for _, p := range valid {
			m.state.Infof("Changed partition %s state from %s to %s with assigned replicas %s", p, p.state, to, join(p.Replicas))
			p.state = to
		}
	case OnlinePartition:
		if err := m.bringOnline(valid, by, b, failed); err != nil {
			return failed, err
		}
	default:
		for _, p := range valid {
			m.state.Tracef("Changed partition %s state from %s to %s", p, p.state, to)
			p.state = to
		}
	}
	b.send()
	return failed, nil
}

func (m *machine) failedPartition(p *partition, to PartitionState, err error) {
	m.state.Failure(err, "Controller %d epoch %d failed to change state for partition %s from %s to %s",
		m.settings.ID, m.c.epoch, p, p.state, to)
}

// bringOnline initialises new partitions and elects leaders for the others.
func (m *machine) bringOnline(list []*partition, by strategy, b *batch, failed map[model.TopicPartition]error) error {
	var fresh, known []*partition
	for _, p := range list {
		if p.state == NewPartition {
			fresh = append(fresh, p)
		} else {
			known = append(known, p)
		}
	}
	if err := m.initialise(fresh, b, failed); err != nil {
		return err
	}
	return m.electAll(known, by, b, failed)
}

// initialise writes the first state of new partitions: the first live replica
// leads, all live replicas are in sync. Only those are told, as new.
func (m *machine) initialise(list []*partition, b *batch, failed map[model.TopicPartition]error) error {
	states := map[model.TopicPartition]LeaderISR{}
	for _, p := range list {
		live := keep(p.Replicas, func(id model.BrokerID) bool { return m.c.isOnline(id, p.TopicPartition) })
		if len(live) == 0 {
			m.fail(p, OnlinePartition, failed, stateChangeFailed("Controller %d epoch %d encountered error during state change of partition %s from New to Online, "+
				"assigned replicas are [%s], live brokers are [%s]. No assigned replica is alive.",
				m.settings.ID, m.c.epoch, p, join(p.Replicas), set("Set", m.c.liveIDs())))
			continue
		}
		states[p.TopicPartition] = LeaderISR{Leader: live[0], ISR: live, ControllerEpoch: m.c.epoch}
	}
	if len(states) == 0 {
		return nil
	}
	errs, err := m.store.CreateStates(states)
	if err != nil {
		return err
	}
	for _, p := range list {
		s, tried := states[p.TopicPartition]
		if !tried {
			continue
		}
		if err := errs[p.TopicPartition]; err != nil {
			m.fail(p, OnlinePartition, failed, stateChangeFailed("Controller %d epoch %d could not write the first state of partition %s: %v",
				m.settings.ID, m.c.epoch, p, err))
			continue
		}
		p.leader = &s
		b.tellLeader(s.ISR, p, true)
		m.online(p)
	}
	return nil
}

func (m *machine) online(p *partition) {
	m.state.Infof("Changed partition %s from %s to %s with state %s", p, p.state, OnlinePartition, p.leader)
	p.state = OnlinePartition
}

func (m *machine) fail(p *partition, to PartitionState, failed map[model.TopicPartition]error, err error) {
	failed[p.TopicPartition] = err
	m.failedPartition(p, to, err)
}

// knowsStates reports whether what is in memory of partition states is what
// the znodes have. That is so where leaders change ISRs through the controller
// only. Should it not be, a conditional write finds another version.
func (m *machine) knowsStates() bool { return m.settings.Versions.AlterISR && !m.leadersWrite }

// currentStates are the states of partitions as they are to be changed, from
// memory if that will do, or again from the znodes.
func (m *machine) currentStates(list []*partition, again bool) (map[model.TopicPartition]LeaderISR, error) {
	if again || !m.knowsStates() {
		return m.store.States(names(list))
	}
	states := make(map[model.TopicPartition]LeaderISR, len(list))
	var unknown []*partition
	for _, p := range list {
		if p.leader == nil {
			unknown = append(unknown, p)
		} else {
			states[p.TopicPartition] = *p.leader
		}
	}
	if len(unknown) == 0 {
		return states, nil
	}
	read, err := m.store.States(names(unknown))
	maps.Copy(states, read)
	return states, err
}

// electAll elects until every partition has a leader or failed. A state that
// somebody else wrote meanwhile is read again.
func (m *machine) electAll(list []*partition, by strategy, b *batch, failed map[model.TopicPartition]error) error {
	for again := false; len(list) > 0; again = true {
		left, err := m.electOnce(list, again, by, b, failed)
		if err != nil {
			return err
		}
		list = left
	}
	return nil
}

func (m *machine) electOnce(list []*partition, reread bool, by strategy, b *batch, failed map[model.TopicPartition]error) (again []*partition, err error) {
	current, err := m.readStates(list, reread, failed)
	if err != nil {
		return nil, err
	}
	unclean, err := m.uncleanAllowed(list, current, by)
	if err != nil {
		return nil, err
	}
	updates := map[model.TopicPartition]LeaderISR{}
	recipients := map[model.TopicPartition][]model.BrokerID{}
	for _, p := range list {
		s, ok := current[p.TopicPartition]
		if !ok {
			continue
		}
		r, ok := elect(by, m.ballot(p, s, unclean[p.Topic] || by == electOfflineUnclean))
		if !ok && !reread && m.knowsStates() {
			again = append(again, p) // before it is given up
			continue
		}
		if !ok {
			m.fail(p, OnlinePartition, failed, stateChangeFailed("Failed to elect leader for partition %s under strategy %s", p, by))
			continue
		}
		updates[p.TopicPartition] = s.next(r.leader, r.isr, m.c.epoch)
		recipients[p.TopicPartition] = r.recipients
	}
	if len(updates) == 0 {
		return again, nil
	}
	done, err := m.store.UpdateStates(updates)
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		u, ok := done[p.TopicPartition]
		switch {
		case !ok:
		case u.Conflict:
			m.log.partitions.Debugf("Controller failed to elect leader for partition %s. Attempted to write state %s, but failed with bad ZK version. This will be retried.",
				p, updates[p.TopicPartition])
			again = append(again, p)
		case u.Err != nil:
			m.fail(p, OnlinePartition, failed, u.Err)
		default:
			p.leader = &u.State
			b.tellLeader(recipients[p.TopicPartition], p, false)
			m.online(p)
		}
	}
	return again, nil
}

// readStates reads the znodes of partitions that are to be elected; those
// without a usable one fail.
func (m *machine) readStates(list []*partition, again bool, failed map[model.TopicPartition]error) (map[model.TopicPartition]LeaderISR, error) {
	states, err := m.currentStates(list, again)
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		s, ok := states[p.TopicPartition]
		switch {
		case !ok:
			m.fail(p, OnlinePartition, failed, stateChangeFailed("LeaderAndIsr information doesn't exist for partition %s in %s state", p, p.state))
		case s.ControllerEpoch > m.c.epoch:
			delete(states, p.TopicPartition)
			m.fail(p, OnlinePartition, failed, stateChangeFailed("Aborted leader election for partition %s since the LeaderAndIsr path was "+
				"already written by another controller. This probably means that the current controller %d went through "+
				"a soft failure and another controller was elected with epoch %d.", p, m.settings.ID, s.ControllerEpoch))
		}
	}
	return states, nil
}

// uncleanAllowed asks for the topics of which a partition has no live ISR
// member; only they need to know.
func (m *machine) uncleanAllowed(list []*partition, current map[model.TopicPartition]LeaderISR, by strategy) (map[string]bool, error) {
	if by != electOffline {
		return nil, nil
	}
	ask := map[string]bool{}
	for _, p := range list {
		s, ok := current[p.TopicPartition]
		if _, live := first(s.ISR, func(id model.BrokerID) bool { return m.c.isOnline(id, p.TopicPartition) }); ok && !live {
			ask[p.Topic] = true
		}
	}
	if len(ask) == 0 {
		return nil, nil
	}
	return m.store.UncleanAllowed(sortedKeys(ask))
}

func (m *machine) ballot(p *partition, s LeaderISR, unclean bool) ballot {
	return ballot{
		assigned: p.Replicas,
		target:   p.target(),
		isr:      s.ISR,
		online:   func(id model.BrokerID) bool { return m.c.isOnline(id, p.TopicPartition) },
		shuttingDown: func(id model.BrokerID) bool {
			return m.c.shuttingDown[id] && m.c.isOnlineOrShuttingDown(id, p.TopicPartition)
		},
		unclean: unclean,
	}
}

// tryOnline elects leaders for all partitions that have none, except those of
// topics that are being deleted.
func (m *machine) tryOnline() error {
	waiting := m.c.selectPartitions(func(p *partition) bool {
		return (p.state == NewPartition || p.state == OfflinePartition) && !m.c.toDelete[p.Topic]
	})
	_, err := m.movePartitions(waiting, OnlinePartition, electOffline)
	return err
}

// sendMetadata tells brokers about the live brokers and the given partitions.
func (m *machine) sendMetadata(to []model.BrokerID, partitions []*partition) {
	b := m.newBatch()
	b.tellMetadata(to, partitions...)
	b.send()
}
