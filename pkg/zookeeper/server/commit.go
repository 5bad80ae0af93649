package server

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"gregor/pkg/zookeeper/jute"
	"gregor/pkg/zookeeper/txnlog"
)

// batch is transactions that go to the log together, and what clients are
// told once they are on disk.
type batch struct {
	records   []byte
	txns      int
	firstZxid int64
	outputs   []output
	// early is how many of outputs wait only for the batch before.
	early int
}

// commit gives a transaction the next zxid, applies it, puts it into the
// batch and tells the watchers. Server.mu must be held.
func (s *Server) commit(txn *jute.Txn) {
	s.stamp(txn)
	events := s.tree.Apply(txn)
	s.record(txn)
	s.fire(events)
}

// stamp gives a transaction the next zxid and the time.
func (s *Server) stamp(txn *jute.Txn) {
	s.zxid++
	txn.Zxid = s.zxid
	txn.Time = time.Now().UnixMilli()
}

// record puts a transaction, which has been applied, into the batch.
func (s *Server) record(txn *jute.Txn) {
	if txn.Op != jute.OpError {
		txn.HasDigest, txn.Digest = true, s.tree.Digest()
	}
	b := s.batch
	if b.txns == 0 {
		b.firstZxid = txn.Zxid
		b.early = len(b.outputs)
		select {
		case s.wakeCommitter <- struct{}{}:
		default:
		}
	}
	b.records = txnlog.AppendRecord(b.records, txn)
	b.txns++
}

// send passes a frame to its client, or holds it in the batch while anything
// is unsynced. Server.mu must be held.
func (s *Server) send(o output) {
	if s.syncing || s.batch.txns > 0 {
		s.batch.outputs = append(s.batch.outputs, o)
		s.outstanding++
		return
	}
	s.release(o)
}

func (s *Server) release(o output) {
	o.c.out.add(o.frame)
	if o.last {
		o.c.out.finish()
	}
	s.sent(o)
}

func (s *Server) releaseAll(outputs []output) {
	for _, o := range outputs {
		s.release(o)
	}
	s.outstanding -= len(outputs)
	s.room.Broadcast()
}

// commitBatches is the committer. At the end it writes what is left.
func (s *Server) commitBatches(ctx context.Context) error {
	for {
		select {
		case <-s.wakeCommitter:
		case <-ctx.Done():
			err := s.commitBatch()
			if closeErr := s.writer.Close(); err == nil {
				err = closeErr
			}
			return err
		}
		if err := s.commitBatch(); err != nil {
			s.fail(errors.Join(err, s.writer.Close()))
			return nil
		}
		s.maybeSnapshot()
	}
}

// commitBatch writes and syncs the present batch and releases what it held,
// and what came after it without a transaction.
func (s *Server) commitBatch() error {
	s.mu.Lock()
	b := s.batch
	if b.txns == 0 {
		s.mu.Unlock()
		return nil
	}
	s.batch = &batch{}
	s.syncing = true
	s.mu.Unlock()

	started := time.Now()
	err := s.writer.Append(b.firstZxid, b.records)
	if err == nil && !s.cfg.NoForceSync {
		err = s.writer.Sync()
	}
	if err != nil {
		return err
	}
	if took := time.Since(started); took > fsyncWarning {
		s.log.txnLog.Warnf("fsync-ing the write ahead log in SyncThread:0 took %dms which will adversely effect operation latency. File size is %d bytes. See the ZooKeeper troubleshooting guide",
			took.Milliseconds(), s.writer.Size())
	}
	s.untilSnapshot -= b.txns
	s.untilSnapshotLen -= int64(len(b.records))

	s.mu.Lock()
	defer s.mu.Unlock()
	s.releaseAll(b.outputs)
	s.syncing = false
	next := s.batch
	if next.txns == 0 {
		next.early = len(next.outputs)
	}
	s.releaseAll(next.outputs[:next.early])
	next.outputs, next.early = next.outputs[next.early:], 0
	return nil
}

// fsyncWarning: a slower sync is worth a line.
const fsyncWarning = time.Second

// resetSnapshotCount draws when the next snapshot is due: at random in the
// second half, so that the servers of an ensemble would not all do it at
// once.
func (s *Server) resetSnapshotCount() {
	half := s.cfg.SnapCount / 2
	s.untilSnapshot = half + rand.IntN(max(half, 1)) + 1
	halfLen := s.cfg.SnapSizeLimit / 2
	s.untilSnapshotLen = halfLen + rand.Int64N(max(halfLen, 1))
	if s.cfg.SnapSizeLimit <= 0 {
		s.untilSnapshotLen = 1<<63 - 1
	}
}

// maybeSnapshot starts a new log file and a snapshot when enough was logged,
// unless the last snapshot is still being written.
func (s *Server) maybeSnapshot() {
	if s.untilSnapshot > 0 && s.untilSnapshotLen > 0 {
		return
	}
	s.resetSnapshotCount()
	if err := s.writer.Roll(); err != nil {
		s.fail(err)
		return
	}
	select {
	case s.snapshotting <- struct{}{}:
	default:
		s.log.server.Warn("Too busy to snap, skipping")
		return
	}
	s.mu.Lock()
	snapshot := s.capture()
	s.mu.Unlock()
	started := s.group.Go("snapshot", func(context.Context) error {
		defer func() { <-s.snapshotting }()
		if err := s.writeSnapshot(snapshot); err != nil {
			s.fail(fmt.Errorf("writing a snapshot: %w", err))
		}
		return nil
	})
	if !started {
		<-s.snapshotting
	}
}

// capture is the state as it is now. Server.mu must be held.
func (s *Server) capture() *txnlog.Snapshot {
	return &txnlog.Snapshot{Zxid: s.zxid, Sessions: s.sessions.Timeouts(), Nodes: s.tree.View(), Digest: s.tree.Digest()}
}

func (s *Server) writeSnapshot(snapshot *txnlog.Snapshot) error {
	s.log.txnSnap.Infof("Snapshotting: 0x%x to %s/snapshot.%x", uint64(snapshot.Zxid), s.snapDir, uint64(snapshot.Zxid))
	_, err := txnlog.WriteSnapshot(s.snapDir, snapshot)
	return err
}

// purge is the purger: it runs at start and then in intervals.
func (s *Server) purge(ctx context.Context) error {
	ticker := time.NewTicker(s.cfg.PurgeInterval)
	defer ticker.Stop()
	for {
		s.log.purge.Info("Purge task started.")
		removed, err := txnlog.Purge(s.snapDir, s.logDir, s.cfg.PurgeRetain)
		if err != nil {
			s.log.purge.Errorf("Error occurred while purging: %v", err)
		}
		if len(removed) > 0 {
			s.log.purge.Infof("Removed %v", removed)
		}
		s.log.purge.Info("Purge task completed.")
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}
