package controller

import (
	"context"
	"errors"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

// trigger is who asked for an election, as the log names it.
type trigger string

const (
	zkTriggered    trigger = "ZkTriggered"
	autoTriggered  trigger = "AutoTriggered"
	adminTriggered trigger = "AdminClientTriggered"
)

// ElectLeaders elects leaders of partitions (KIP-183, KIP-460): the preferred
// replicas, or, with unclean, any live replica of partitions without a leader,
// whatever unclean.leader.election.enable says. It returns the leaders elected,
// and of the other partitions why there was no election.
//
// Errors: NOT_CONTROLLER. Of a partition: UNKNOWN_TOPIC_OR_PARTITION,
// INVALID_TOPIC_EXCEPTION while its topic is being deleted,
// ELECTION_NOT_NEEDED, PREFERRED_LEADER_NOT_AVAILABLE,
// ELIGIBLE_LEADERS_NOT_AVAILABLE.
func (c *Controller) ElectLeaders(ctx context.Context, partitions []model.TopicPartition, unclean bool) (elected map[model.TopicPartition]model.BrokerID, failed map[model.TopicPartition]error, err error) {
	err = c.ask(ctx, "ReplicaLeaderElection", func(m *machine) error {
		var err error
		elected, failed, err = m.electLeaders(partitions, unclean)
		return err
	})
	if errors.Is(err, zkstore.ErrControllerMoved) {
		err = kerr.NotController
	}
	return elected, failed, err
}

func (m *machine) electLeaders(asked []model.TopicPartition, unclean bool) (elected map[model.TopicPartition]model.BrokerID, failed map[model.TopicPartition]error, err error) {
	by, unavailable := electPreferred, kerr.PreferredLeaderNotAvailable
	if unclean {
		by, unavailable = electOfflineUnclean, kerr.EligibleLeadersNotAvailable
	}
	list, failed := m.electable(asked, unclean, adminTriggered)
	m.log.controller.Infof("Starting replica leader election (%s) for partitions %s triggered by %s", electionType(unclean), join(list), adminTriggered)
	lost, err := m.movePartitions(list, OnlinePartition, by)
	if err != nil {
		return nil, nil, err
	}
	elected = map[model.TopicPartition]model.BrokerID{}
	for _, p := range list {
		switch err := lost[p.TopicPartition]; {
		case err == nil:
			elected[p.TopicPartition] = p.leader.Leader
		case isStateChangeFailed(err):
			failed[p.TopicPartition] = unavailable.With("%s", err.Error())
		default:
			failed[p.TopicPartition] = err
		}
	}
	return elected, failed, nil
}

// electionType is Kafka's name of an election.
func electionType(unclean bool) string {
	if unclean {
		return "UNCLEAN"
	}
	return "PREFERRED"
}

// electable sorts out the partitions for which an election makes sense, each
// once, and says what is wrong with the others.
func (m *machine) electable(asked []model.TopicPartition, unclean bool, by trigger) (list []*partition, failed map[model.TopicPartition]error) {
	failed = map[model.TopicPartition]error{}
	seen := map[model.TopicPartition]bool{}
	var deleting []*partition
	for _, tp := range asked {
		if seen[tp] {
			continue
		}
		seen[tp] = true
		switch p := m.c.partition(tp); {
		case p == nil:
			m.log.controller.Infof("Skipping replica leader election (%s) for partition %s by %s since it doesn't exist.", electionType(unclean), tp, by)
			failed[tp] = kerr.UnknownTopicOrPartition.With("The partition does not exist.")
		case m.c.toDelete[tp.Topic]:
			deleting = append(deleting, p)
			failed[tp] = kerr.InvalidTopicException.With("The topic is being deleted")
		case m.hasLeader(p, unclean):
			failed[tp] = kerr.ElectionNotNeeded
		default:
			list = append(list, p)
		}
	}
	if len(deleting) > 0 {
		m.log.controller.Warnf("Skipping replica leader election (%s) for partitions %s by %s since the respective topics are being deleted",
			electionType(unclean), set("Set", deleting), by)
	}
	return list, failed
}

// hasLeader reports whether a partition has the leader that an election is to
// give it: the preferred one, or with unclean any that is live.
func (m *machine) hasLeader(p *partition, unclean bool) bool {
	switch {
	case p.leader == nil:
		return false
	case unclean:
		_, registered := m.c.brokers[p.leader.Leader]
		return registered && !m.c.shuttingDown[p.leader.Leader]
	}
	return len(p.Replicas) > 0 && p.leader.Leader == p.Replicas[0]
}
