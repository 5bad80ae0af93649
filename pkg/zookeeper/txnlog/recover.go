package txnlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gregor/pkg/zookeeper/jute"
	"gregor/pkg/zookeeper/tree"
)

// State is what Recover found.
type State struct {
	Tree     *tree.Tree
	Sessions map[int64]int32 // timeouts in ms
	Zxid     int64           // of the last transaction
	// SnapshotZxid is that of the snapshot it began with, -1 without one.
	SnapshotZxid int64
	Replayed     int      // transactions taken from the log
	Warnings     []string // what was passed over, for the log

	// mismatch says that the last digest in the log was not the tree's. Before
	// the last one they may differ: a snapshot can have run ahead of its name.
	mismatch string
}

// Options of Recover.
type Options struct {
	SnapDir, LogDir string // the version-2 directories
	// TrustEmpty allows a log without any snapshot, as very old versions
	// left it.
	TrustEmpty bool
}

// snapshotsTried bounds how many damaged snapshots are passed over.
const snapshotsTried = 100

// Recover rebuilds the state from the newest good snapshot and the log behind
// it. Both directories must exist.
func Recover(opts Options) (*State, error) {
	if err := removeLeftovers(opts); err != nil {
		return nil, err
	}
	s, err := loadSnapshot(opts.SnapDir)
	if err != nil {
		return nil, err
	}
	logs, err := Logs(opts.LogDir)
	if err != nil {
		return nil, err
	}
	if s.SnapshotZxid >= 0 {
		logs = logsFrom(logs, s.SnapshotZxid)
	}
	for i, log := range logs {
		if err := s.replay(log, i == len(logs)-1); err != nil {
			return nil, err
		}
	}
	if s.SnapshotZxid < 0 && s.Replayed > 0 && !opts.TrustEmpty {
		return nil, fmt.Errorf("%w: No snapshot found, but there are log entries in %s; something is broken", ErrCorrupt, opts.LogDir)
	}
	if s.mismatch != "" {
		s.Warnings = append(s.Warnings, s.mismatch)
	}
	s.dropOrphans()
	return s, nil
}

// removeLeftovers removes unfinished files of ours, and the mark by which an
// operator allows an ensemble member to start empty.
func removeLeftovers(opts Options) error {
	if err := os.Remove(filepath.Join(filepath.Dir(opts.SnapDir), "initialize")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, dir := range []string{opts.SnapDir, opts.LogDir} {
		temps, err := filepath.Glob(filepath.Join(dir, ".*.tmp"))
		if err != nil {
			return err
		}
		for _, temp := range temps {
			name := filepath.Base(temp)
			if !strings.HasPrefix(name, ".log.") && !strings.HasPrefix(name, ".snapshot.") {
				continue
			}
			if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// loadSnapshot loads the newest snapshot that is sound.
func loadSnapshot(dir string) (*State, error) {
	snapshots, err := Snapshots(dir)
	if err != nil {
		return nil, err
	}
	s := &State{SnapshotZxid: -1}
	tried := 0
	for i := len(snapshots) - 1; i >= 0 && tried < snapshotsTried; i-- {
		snapshot := snapshots[i]
		if snapshot.Ext != "" {
			return nil, fmt.Errorf("%s: compressed snapshots cannot be read here; start Apache ZooKeeper once without snapshot.compression.method", snapshot.Path)
		}
		tried++
		if !looksComplete(snapshot.Path) {
			s.Warnings = append(s.Warnings, fmt.Sprintf("Invalid snapshot %s. It is passed over.", snapshot.Path))
			continue
		}
		t, sessions, err := ReadSnapshot(snapshot.Path)
		if err != nil {
			s.Warnings = append(s.Warnings, fmt.Sprintf("problem reading snap file %v. It is passed over.", err))
			continue
		}
		s.Tree, s.Sessions = t, sessions
		s.Zxid, s.SnapshotZxid = snapshot.Zxid, snapshot.Zxid
		return s, nil
	}
	if len(snapshots) > 0 {
		return nil, fmt.Errorf("%w: Not able to find valid snapshots in %s", ErrCorrupt, dir)
	}
	s.Tree, s.Sessions = tree.New(), map[int64]int32{}
	return s, nil
}

// replay applies what a log file has behind the state's zxid. A newest file
// that ends inside its header was never written to.
func (s *State) replay(log File, newest bool) error {
	tail, err := ReadLog(log.Path, func(txn *jute.Txn) error {
		if txn.Zxid <= s.Zxid {
			return nil
		}
		if txn.Zxid != s.Zxid+1 && txn.Zxid>>32 == s.Zxid>>32 && s.SnapshotZxid >= 0 {
			s.Warnings = append(s.Warnings, fmt.Sprintf("%s: zxid 0x%x follows 0x%x: transactions between them are missing",
				log.Path, uint64(txn.Zxid), uint64(s.Zxid)))
		}
		s.apply(txn)
		return nil
	})
	if errors.Is(err, errShortHeader) && newest {
		s.Warnings = append(s.Warnings, fmt.Sprintf("%s ends inside its header: it is removed", log.Path))
		return os.Remove(log.Path)
	}
	if errors.Is(err, ErrCorrupt) {
		return fmt.Errorf("%w; what comes before is sound and ends with zxid 0x%x: to go on from there, cut the file at that byte and remove newer log files", err, uint64(s.Zxid))
	}
	if err != nil {
		return err
	}
	if tail.Torn != "" {
		s.Warnings = append(s.Warnings, fmt.Sprintf("%s: at byte %d: %s: a write was cut off there; zxid 0x%x is the last before it",
			log.Path, tail.Offset, tail.Torn, uint64(s.Zxid)))
	}
	return nil
}

func (s *State) apply(txn *jute.Txn) {
	switch body := txn.Body.(type) {
	case *jute.CreateSessionTxn:
		s.Sessions[txn.SessionID] = body.Timeout
	default:
		if txn.Op == jute.OpCloseSession {
			delete(s.Sessions, txn.SessionID)
		}
		s.Tree.Apply(txn)
	}
	if txn.HasDigest {
		s.mismatch = ""
		if got := s.Tree.Digest(); got != txn.Digest {
			s.mismatch = fmt.Sprintf("The digest of the tree at zxid 0x%x is %d, and the log says %d: the nodes are not what they were",
				uint64(txn.Zxid), got, txn.Digest)
		}
	}
	s.Zxid = txn.Zxid
	s.Replayed++
}

// dropOrphans deletes the ephemeral nodes of sessions that are not there any
// more.
func (s *State) dropOrphans() {
	for _, owner := range s.Tree.EphemeralOwners() {
		if _, ok := s.Sessions[owner]; !ok {
			s.Tree.Apply(&jute.Txn{SessionID: owner, Zxid: s.Zxid, Op: jute.OpCloseSession})
		}
	}
}
