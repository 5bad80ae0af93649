package replica

import (
	"context"
	"errors"
	"time"

	"gregor/pkg/commitlog"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// Append is one append to one partition: what goes in and what came of it.
type Append struct {
	model.TopicPartition
	// Records is one batch, or several plain messages of an old format. Offsets
	// and the leader epoch are written into it in place.
	Records []byte

	// Err is nil when the records are in the log and acknowledged as asked
	// for. Info is meaningful when they are in the log, also if they were not
	// acknowledged; LogStartOffset of Info also when the log refused them.
	Err  error
	Info commitlog.AppendInfo

	partition *Partition // where the records went; nil when they did not
	tenure    uint64     // in which they did
	settled   bool       // nothing is left to wait for
}

// AppendRequest is a set of appends that are acknowledged together.
type AppendRequest struct {
	Acks     int16         // 0, 1 or -1
	Timeout  time.Duration // how long to wait for the ISR with acks -1
	Origin   commitlog.Origin
	Internal bool // may write to the internal topics
	Appends  []Append
}

// Append writes every set of records to its log and waits until they are
// acknowledged as asked for. The results are in the request's appends.
//
// Hot path: no allocation besides the waiting.
func (m *Manager) Append(ctx context.Context, req *AppendRequest) {
	m.Write(req)
	m.Await(ctx, req)
}

// Write is the first half of Append, for those who have something to do
// before they wait: it writes every set of records to its log. What failed is
// settled; the records are not needed any more.
func (m *Manager) Write(req *AppendRequest) {
	for i := range req.Appends {
		m.append(req, &req.Appends[i])
	}
}

// Await is the second half of Append: with acks -1 it waits until what Write
// wrote is committed, that is below the high watermark, with enough replicas
// in sync. What is not when the time is up, or ctx done, stays in the log and
// answers REQUEST_TIMED_OUT.
func (m *Manager) Await(ctx context.Context, req *AppendRequest) {
	if committed(req.Appends) {
		return
	}
	keys := make([]model.TopicPartition, 0, len(req.Appends))
	for i := range req.Appends {
		if a := &req.Appends[i]; !a.settled {
			keys = append(keys, a.TopicPartition)
		}
	}
	if m.produces.Wait(ctx, keys, req.Timeout, func() bool { return committed(req.Appends) }) {
		return
	}
	for i := range req.Appends {
		if a := &req.Appends[i]; !a.settled {
			a.settled, a.Err = true, kerr.RequestTimedOut
		}
	}
}

// append does one append and leaves settled what needs no waiting.
func (m *Manager) append(req *AppendRequest, a *Append) {
	a.Info = commitlog.AppendInfo{FirstOffset: -1, LastOffset: -1, LogAppendTime: -1, LogStartOffset: -1}
	if !req.Internal && model.IsInternalTopic(a.Topic) {
		a.Err = kerr.InvalidTopicException.With("Cannot append to internal topic %s", a.Topic)
	} else if a.partition, a.Err = m.Partition(a.TopicPartition); a.Err == nil {
		var advanced bool
		a.Info, a.tenure, advanced, a.Err = a.partition.append(a.Records, req.Origin, req.Acks)
		if a.Err == nil {
			m.fetches.Wake(a.TopicPartition)
			if advanced {
				m.produces.Wake(a.TopicPartition)
			}
		} else {
			m.reportFailedAppend(a)
		}
	}
	a.settled = a.Err != nil || req.Acks != -1
}

// reportFailedAppend logs what is not the client's doing or told to it anyway.
func (m *Manager) reportFailedAppend(a *Append) {
	switch kerr.Of(a.Err) {
	case kerr.UnknownTopicOrPartition, kerr.NotLeaderOrFollower, kerr.MessageTooLarge, kerr.RecordListTooLarge,
		kerr.CorruptMessage, kerr.KafkaStorageError:
		a.Info.LogStartOffset = -1 // as in Kafka, which does not look it up for these
	default:
		m.log.WithError(a.Err).Errorf("%sError processing append operation on partition %s", m.prefix(), a.TopicPartition)
	}
}

// append writes records as the leader and reports in which tenure, and whether
// the high watermark rose.
func (p *Partition) append(records []byte, origin commitlog.Origin, acks int16) (info commitlog.AppendInfo, tenure uint64, advanced bool, err error) {
	info = commitlog.AppendInfo{FirstOffset: -1, LastOffset: -1, LogAppendTime: -1, LogStartOffset: -1}
	p.mu.RLock()
	defer p.mu.RUnlock()
	log, err := p.readableLocked(model.NoLeaderEpoch, true)
	if err != nil {
		return info, 0, false, err
	}
	if least := p.settings.Load().MinInSyncReplicas; acks == -1 && len(p.isr) < least {
		info.LogStartOffset = log.LogStartOffset()
		return info, 0, false, kerr.NotEnoughReplicas.With("The size of the current ISR %v is insufficient to satisfy the min.isr requirement of %d for partition %s",
			commas(p.isr), least, p.TopicPartition)
	}
	appended, err := log.AppendAsLeader(records, p.leaderEpoch, origin)
	if err != nil {
		info.LogStartOffset = log.LogStartOffset()
		return info, 0, false, err
	}
	return appended, p.tenure, p.advanceLocked(time.Now()), nil
}

// committed settles what can be settled and reports whether all is.
func committed(appends []Append) bool {
	all := true
	for i := range appends {
		if a := &appends[i]; !a.settled {
			a.settled, a.Err = a.partition.committed(a.tenure, a.Info.LastOffset+1)
			all = all && a.settled
		}
	}
	return all
}

// committed reports whether everything below offset, as it was written in a
// tenure, is committed, or never will be by this leader: once the leadership
// was lost, there may be other records.
func (p *Partition) committed(tenure uint64, offset int64) (settled bool, err error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	log, err := p.readableLocked(model.NoLeaderEpoch, true)
	switch {
	case err != nil:
		return true, err
	case p.tenure != tenure:
		return true, kerr.NotLeaderOrFollower
	case log.HighWatermark() < offset:
		return false, nil
	case len(p.maximalLocked()) < p.settings.Load().MinInSyncReplicas:
		return true, kerr.NotEnoughReplicasAfterAppend
	}
	return true, nil
}

// RecordErrors returns which records made the log refuse a batch, and whether
// err says so at all.
func RecordErrors(err error) ([]commitlog.RecordError, bool) {
	var refused *commitlog.RecordErrors
	if errors.As(err, &refused) {
		return refused.Records, true
	}
	return nil, false
}
