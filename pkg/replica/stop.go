package replica

import (
	"errors"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// stop is one partition of a StopReplica request, in our types.
type stop struct {
	model.TopicPartition
	epoch  model.LeaderEpoch
	remove bool
}

// StopReplicas carries out a StopReplica request of version 0 to 3: the broker
// stops to lead or follow the partitions and, where the request says so,
// deletes them. With an error nothing was done.
func (m *Manager) StopReplicas(req *kmsg.StopReplicaRequest, correlationID int32) ([]PartitionResult, error) {
	if m.staleBrokerEpoch(req.BrokerEpoch) {
		return nil, kerr.StaleBrokerEpoch
	}
	stops := stopsOf(req)
	m.stateChange.Infof("[Broker id=%d] Handling StopReplica request correlationId %d from controller %d for %d partitions",
		m.options.BrokerID, correlationID, req.ControllerID, len(stops))
	m.changes.Lock()
	defer m.changes.Unlock()
	if err := m.takeControllerEpoch("StopReplica", req.ControllerID, req.ControllerEpoch, correlationID); err != nil {
		return nil, err
	}
	var news LeadershipChange
	var tps []model.TopicPartition
	results := make([]PartitionResult, len(stops))
	for i, s := range stops {
		results[i] = PartitionResult{s.TopicPartition, m.mayStop(s, req.ControllerID, correlationID)}
		if results[i].Err == nil {
			tps = append(tps, s.TopicPartition)
		}
	}
	m.following.remove(tps)
	m.moving.remove(tps)
	m.following.endIdle()
	for i, s := range stops {
		if results[i].Err != nil {
			continue
		}
		if results[i].Err = m.stop(s); results[i].Err == nil && s.remove {
			news.Deleted = append(news.Deleted, LeaderChange{s.TopicPartition, max(s.epoch, model.NoLeaderEpoch)})
		}
	}
	if m.options.OnLeadership != nil && len(news.Deleted) > 0 {
		m.options.OnLeadership(news)
	}
	return results, nil
}

// mayStop decides whether a partition is to be stopped. Deletion announces no
// epoch of its own, and older controllers none at all.
func (m *Manager) mayStop(s stop, controller, correlationID int32) error {
	m.mu.RLock()
	p := m.partitions[s.TopicPartition]
	m.mu.RUnlock()
	if p == nil {
		return nil
	}
	if p.offline.Load() {
		m.stateChange.Warnf("[Broker id=%d] Ignoring StopReplica request (delete=%t) from controller %d with correlation id %d epoch %d for partition %s as the local replica for the partition is in an offline log directory",
			m.options.BrokerID, s.remove, controller, correlationID, m.controllerEpoch, s.TopicPartition)
		return kerr.KafkaStorageError
	}
	current := p.State().LeaderEpoch
	if s.epoch == model.EpochDuringDelete || s.epoch == model.NoLeaderEpoch || s.epoch > current {
		return nil
	}
	m.stateChange.Warnf("[Broker id=%d] Ignoring StopReplica request (delete=%t) from controller %d with correlation id %d epoch %d for partition %s since its associated leader epoch %d is not above the current leader epoch %d",
		m.options.BrokerID, s.remove, controller, correlationID, m.controllerEpoch, s.TopicPartition, s.epoch, current)
	return kerr.FencedLeaderEpoch
}

// stop stops one partition. One that is not hosted may still have a log, left
// from before a restart, which goes all the same.
func (m *Manager) stop(s stop) error {
	if s.remove {
		m.mu.Lock()
		p := m.partitions[s.TopicPartition]
		delete(m.partitions, s.TopicPartition)
		m.mu.Unlock()
		if p != nil {
			p.gone.Store(true)
			p.retire()
		}
	}
	m.wake(s.TopicPartition)
	if !s.remove {
		return nil
	}
	err := m.options.Logs.DeleteFuture(s.TopicPartition)
	if m.options.Logs.Get(s.TopicPartition) != nil {
		err = errors.Join(m.options.Logs.AsyncDelete(s.TopicPartition), err)
	}
	return err
}

// stopsOf reads the partitions of a request. Version 0 lists them one by one,
// 1 and 2 by topic, both with one delete flag for all; 3 has flag and epoch
// for each.
func stopsOf(req *kmsg.StopReplicaRequest) []stop {
	var list []stop
	for i := range req.Topics {
		t := &req.Topics[i]
		switch {
		case req.Version == 0:
			list = append(list, stop{model.TopicPartition{Topic: t.Topic, Partition: t.Partition}, model.NoLeaderEpoch, req.DeletePartitions})
		case req.Version <= 2:
			for _, p := range t.Partitions {
				list = append(list, stop{model.TopicPartition{Topic: t.Topic, Partition: p}, model.NoLeaderEpoch, req.DeletePartitions})
			}
		default:
			for _, s := range t.PartitionStates {
				list = append(list, stop{model.TopicPartition{Topic: t.Topic, Partition: s.Partition}, model.LeaderEpoch(s.LeaderEpoch), s.Delete})
			}
		}
	}
	return list
}

// UpdateMetadata applies the controller's view of the cluster and tells
// OnDeleted what left it.
func (m *Manager) UpdateMetadata(req *kmsg.UpdateMetadataRequest, correlationID int32) error {
	if m.staleBrokerEpoch(req.BrokerEpoch) {
		return kerr.StaleBrokerEpoch
	}
	m.changes.Lock()
	defer m.changes.Unlock()
	if err := m.takeControllerEpoch("UpdateMetadata", req.ControllerID, req.ControllerEpoch, correlationID); err != nil {
		return err
	}
	if deleted := m.options.Metadata.Update(req, correlationID); len(deleted) > 0 && m.options.OnDeleted != nil {
		m.options.OnDeleted(deleted)
	}
	m.lookForStrays()
	return nil
}

func joined(names []string) string { return strings.Join(names, ", ") }
