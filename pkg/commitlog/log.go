package commitlog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/pkg/kerr"
	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/vfs"
)

var (
	// ErrCorrupt means that a file of the log is not what it should be.
	ErrCorrupt = errors.New("corrupt file")
	// ErrUnexpectedOffset is a follower's append that begins below the log
	// end.
	ErrUnexpectedOffset = errors.New("append does not continue the log")
	// ErrClosed is returned by a log that was closed or deleted.
	ErrClosed = errors.New("the log is closed")
)

// Config is what a log needs to be opened.
type Config struct {
	FS        vfs.FS // the real one when nil
	Dir       string // of the partition; created if missing
	Partition model.TopicPartition
	Options   Options
	Loggers   *logging.Loggers // none when nil

	LogStartOffset int64 // from the checkpoint, 0 if it has none
	RecoveryPoint  int64 // likewise
	CleanShutdown  bool  // the broker before stopped in order, or the log is new

	Files *OpenFiles // bounds what all logs keep open; may be nil

	// After runs f later, on a goroutine of the caller's: removing files when
	// nobody can still want them, flushing a segment that was rolled. When nil
	// f runs at once.
	After func(delay time.Duration, f func())
	// Recovered is told of the bytes that recovery has checked, while it goes
	// on.
	Recovered func(bytes int64)
	// OnFailure is told of an input or output error: the log directory must
	// go offline. It is called with Log.mu held and must not call the log.
	OnFailure func(err error)
	// OnTruncate is told when the log was cut: the segment with this base
	// offset is the active one now. It is called with Log.mu held and must not
	// call the log.
	OnTruncate func(activeBase int64)
}

// OffsetMetadata is an offset with the place of its batch in the log.
type OffsetMetadata struct {
	Offset      int64
	SegmentBase int64 // -1 when the place is not known
	Position    int
}

func unknownPosition(offset int64) OffsetMetadata {
	return OffsetMetadata{Offset: offset, SegmentBase: -1, Position: -1}
}

// known reports whether the place is known.
func (m OffsetMetadata) known() bool { return m.SegmentBase >= 0 }

// OnOlderSegment reports whether m lies in an older segment than other.
func (m OffsetMetadata) OnOlderSegment(other OffsetMetadata) bool {
	return m.known() && other.known() && m.SegmentBase < other.SegmentBase
}

// BytesUntil is the number of bytes from m to other when both lie in one
// segment, else 0.
func (m OffsetMetadata) BytesUntil(other OffsetMetadata) int {
	if !m.known() || m.SegmentBase != other.SegmentBase {
		return 0
	}
	return max(0, other.Position-m.Position)
}

// Log is the log of one partition. Every method is safe for concurrent use.
type Log struct {
	fs        vfs.FS
	place     *place
	partition model.TopicPartition
	entry     *logrus.Entry
	segLog    *logrus.Entry // kafka.log.LogSegment
	prodLog   *logrus.Entry // kafka.log.ProducerStateManager
	after     func(time.Duration, func())
	onFailure func(error)
	recovered func(int64)

	onTruncate  func(int64)
	truncations atomic.Int64

	replacements atomic.Int64 // raised before compacted segments take their place

	options  atomic.Pointer[Options]
	segments atomic.Pointer[segmentList]
	topicID  atomic.Pointer[model.TopicID]

	recovery    recoveryPoint
	lastFlushMs atomic.Int64
	complaints  complaints
	failed      atomic.Bool
	closed      atomic.Bool

	// mu makes one writer: it is held while records are appended, segments
	// come and go and producers are noted, I/O included.
	mu        sync.Mutex
	producers *producers
	epochs    *epochCache // has a lock of its own for readers

	opening       bool // Open has not returned yet
	epochsInDoubt bool // what is behind the recovery point is being recovered

	flushMu sync.Mutex // one flush at a time; taken with or without mu

	// marksMu guards marks. Nothing else is taken while it is held.
	marksMu sync.Mutex
	marks   marks
}

// marks are the offsets that readers go by.
//
// Invariant: start <= lastStable() <= high.Offset <= end.Offset, once the
// high watermark has been set.
type marks struct {
	start    int64
	end      OffsetMetadata
	high     OffsetMetadata
	unstable OffsetMetadata // of the oldest undecided transaction; Offset -1 none
}

func (m *marks) lastStable() OffsetMetadata {
	if m.unstable.Offset >= 0 && m.unstable.Offset < m.high.Offset {
		return m.unstable
	}
	return m.high
}

// Open opens the log in a directory, recovering it when the shutdown was not
// clean, and creates it when there is none.
func Open(cfg Config) (*Log, error) {
	l := newLog(cfg)
	if err := l.fs.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, err
	}
	var err error
	if l.epochs, err = openEpochs(l.place); errors.Is(err, ErrCorrupt) {
		return nil, unreadableFile("checkpoint file", l.place.path(epochFile), err)
	} else if err != nil {
		return nil, err
	}
	if err := l.followFormat(); err != nil {
		return nil, err
	}
	l.opening = true
	err = l.load(cfg)
	l.opening = false
	if err != nil {
		return nil, fmt.Errorf("load log %s: %w", cfg.Dir, err)
	}
	id, err := readPartitionMetadata(l.place)
	if err != nil {
		return nil, err
	}
	l.topicID.Store(&id)
	for _, segment := range *l.segments.Load() {
		segment.closeFiles() // until somebody asks: most of many logs are idle
	}
	return l, nil
}

func newLog(cfg Config) *Log {
	if cfg.FS == nil {
		cfg.FS = vfs.OS
	}
	if cfg.Loggers == nil {
		cfg.Loggers = logging.Discard()
	}
	if cfg.After == nil {
		cfg.After = func(_ time.Duration, f func()) { f() }
	}
	if cfg.Recovered == nil {
		cfg.Recovered = func(int64) {}
	}
	if cfg.OnFailure == nil {
		cfg.OnFailure = func(error) {}
	}
	if cfg.OnTruncate == nil {
		cfg.OnTruncate = func(int64) {}
	}
	l := &Log{
		fs: cfg.FS, place: &place{fs: cfg.FS, files: cfg.Files}, partition: cfg.Partition, onTruncate: cfg.OnTruncate,
		entry: cfg.Loggers.Logger("kafka.log.Log"), segLog: cfg.Loggers.Logger("kafka.log.LogSegment"),
		prodLog: cfg.Loggers.Logger("kafka.log.ProducerStateManager"),
		after:   cfg.After, onFailure: cfg.OnFailure, recovered: cfg.Recovered, producers: newProducers(),
	}
	l.place.dir.Store(&cfg.Dir)
	l.options.Store(&cfg.Options)
	l.segments.Store(&segmentList{})
	l.lastFlushMs.Store(time.Now().UnixMilli())
	l.marks.unstable.Offset = -1
	return l
}

// info logs a line with Kafka's prefix of a log.
func (l *Log) info(format string, args ...any) {
	l.entry.Infof("[Log partition=%s, dir=%s] %s", l.partition, filepath.Dir(l.Dir()), fmt.Sprintf(format, args...))
}

func (l *Log) warn(format string, args ...any) {
	l.entry.Warnf("[Log partition=%s, dir=%s] %s", l.partition, filepath.Dir(l.Dir()), fmt.Sprintf(format, args...))
}

// Partition is the topic partition that the log is of.
func (l *Log) Partition() model.TopicPartition { return l.partition }

// Dir is the partition's directory.
func (l *Log) Dir() string { return *l.place.dir.Load() }

// ParentDir is the log directory that the partition is in.
func (l *Log) ParentDir() string { return filepath.Dir(l.Dir()) }

// Options are the settings in force.
func (l *Log) Options() Options { return *l.options.Load() }

// Magic is the message format that is appended.
func (l *Log) Magic() int8 { return l.options.Load().Magic() }

// UpdateOptions changes the settings; those of index sizes and jitter take
// effect with the next segment.
func (l *Log) UpdateOptions(o Options) {
	if from := l.options.Swap(&o).Magic(); from != o.Magic() {
		l.changeFormat(from, o.Magic())
	}
}

// LogStartOffset is the first offset that may be read.
func (l *Log) LogStartOffset() int64 { return l.readMarks().start }

// LogEndOffset is the offset of the next record.
func (l *Log) LogEndOffset() int64 { return l.readMarks().end.Offset }

// EndOffsetMetadata is the log end with its place.
func (l *Log) EndOffsetMetadata() OffsetMetadata { return l.readMarks().end }

// HighWatermark is the offset below which every in-sync replica has the log.
func (l *Log) HighWatermark() int64 { return l.readMarks().high.Offset }

// LastStableOffset is the offset below which every transaction is decided.
func (l *Log) LastStableOffset() int64 {
	m := l.readMarks()
	return m.lastStable().Offset
}

// Offsets are the offsets that readers go by, as they are together.
//
// Invariant: LogStart <= LastStable <= HighWatermark <= LogEnd.
type Offsets struct {
	LogStart, LastStable, HighWatermark, LogEnd int64
}

// Offsets gives all of them at once.
func (l *Log) Offsets() Offsets {
	m := l.readMarks()
	return Offsets{m.start, m.lastStable().Offset, m.high.Offset, m.end.Offset}
}

// Bound is the offset that a reader of the isolation may read up to.
func (o *Offsets) Bound(iso Isolation) int64 {
	switch iso {
	case HighWatermark:
		return o.HighWatermark
	case TxnCommitted:
		return o.LastStable
	default:
		return o.LogEnd
	}
}

// FetchableMetadata is the end of what a reader of the isolation may read,
// with its place.
func (l *Log) FetchableMetadata(iso Isolation) (OffsetMetadata, error) {
	m := l.readMarks()
	return l.located(m.limit(iso))
}

func (l *Log) readMarks() marks {
	l.marksMu.Lock()
	defer l.marksMu.Unlock()
	return l.marks
}

// SetHighWatermark moves the high watermark, within log start and log end,
// and returns where it is now.
func (l *Log) SetHighWatermark(offset int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.setHighWatermarkLocked(offset)
}

func (l *Log) setHighWatermarkLocked(offset int64) int64 {
	m := l.readMarks()
	offset = max(m.start, min(offset, m.end.Offset))
	if offset == m.high.Offset {
		return offset
	}
	l.marksMu.Lock()
	if offset == l.marks.end.Offset {
		l.marks.high = l.marks.end
	} else {
		l.marks.high = unknownPosition(offset)
	}
	l.marksMu.Unlock()
	l.producers.replicated(offset)
	l.updateUnstableLocked()
	return offset
}

// updateUnstableLocked follows a change of the open transactions.
func (l *Log) updateUnstableLocked() {
	unstable, found := l.producers.firstUnstable()
	if !found {
		unstable = unknownPosition(-1)
	}
	l.marksMu.Lock()
	defer l.marksMu.Unlock()
	if found && unstable.Offset < l.marks.start {
		unstable = unknownPosition(l.marks.start)
	}
	l.marks.unstable = unstable
}

// setEndLocked publishes what was appended, or how far the log was cut.
func (l *Log) setEndLocked(offset int64) {
	active := l.segments.Load().active()
	end := OffsetMetadata{Offset: offset, SegmentBase: active.base, Position: int(active.size.Load())}
	l.marksMu.Lock()
	defer l.marksMu.Unlock()
	l.marks.end = end
	if l.marks.high.Offset >= offset {
		l.marks.high = end
	}
}

// setStartLocked moves the log start, which nothing else may be below.
func (l *Log) setStartLocked(offset int64) {
	l.marksMu.Lock()
	defer l.marksMu.Unlock()
	l.marks.start = offset
	if l.marks.high.Offset < offset {
		l.marks.high = unknownPosition(offset)
	}
}

// IncrementLogStartOffset raises the log start, as DeleteRecords or a
// leader's answer asks; reason completes Kafka's line about it. Beyond the
// high watermark it is OffsetOutOfRange; a lower offset does nothing.
func (l *Log) IncrementLogStartOffset(offset int64, reason string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	return l.failOn(l.incrementStartLocked(offset, reason))
}

func (l *Log) incrementStartLocked(offset int64, reason string) error {
	m := l.readMarks()
	if offset > m.high.Offset {
		return kerr.OffsetOutOfRange.With("Cannot increment the log start offset to %d of partition %s since it is larger than the high watermark %d",
			offset, l.partition, m.high.Offset)
	}
	if offset <= m.start {
		return nil
	}
	l.info("Incremented log start offset to %d due to %s", offset, reason)
	l.setStartLocked(offset)
	if err := l.epochs.truncateFromStart(offset); err != nil {
		return err
	}
	l.producers.startRaised(offset)
	l.updateUnstableLocked()
	return nil
}

// TopicID is the id in partition.metadata, zero when there is none.
func (l *Log) TopicID() model.TopicID { return *l.topicID.Load() }

// SetTopicID writes partition.metadata.
func (l *Log) SetTopicID(id model.TopicID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if err := writePartitionMetadata(l.place, id); err != nil {
		return l.failOn(err)
	}
	l.topicID.Store(&id)
	return nil
}

// AssignEpochStart notes that a leader epoch begins at an offset.
func (l *Log) AssignEpochStart(epoch model.LeaderEpoch, offset int64) error {
	return l.failOn(l.epochs.assign(epoch, offset))
}

// LatestEpoch is the last epoch of the log, NoLeaderEpoch if none.
func (l *Log) LatestEpoch() model.LeaderEpoch {
	e, _ := l.epochs.latest()
	return e.epoch
}

// LatestEpochStart is the last epoch with its start offset.
func (l *Log) LatestEpochStart() (epoch model.LeaderEpoch, start int64, found bool) {
	e, found := l.epochs.latest()
	return e.epoch, e.start, found
}

// EarliestEpochStart is the first epoch with its start offset.
func (l *Log) EarliestEpochStart() (epoch model.LeaderEpoch, start int64, found bool) {
	e, found := l.epochs.earliest()
	return e.epoch, e.start, found
}

// EndOffsetForEpoch finds the largest epoch of the log that is not above the
// asked one, and where it ends; (-1, -1) when the log cannot tell.
func (l *Log) EndOffsetForEpoch(epoch model.LeaderEpoch) (model.LeaderEpoch, int64) {
	return l.epochs.endOffsetFor(epoch, l.LogEndOffset())
}

// Size is the number of bytes of all segments.
func (l *Log) Size() int64 {
	var size int64
	for _, s := range *l.segments.Load() {
		size += s.size.Load()
	}
	return size
}

// Segments is the number of segments.
func (l *Log) Segments() int { return len(*l.segments.Load()) }

// ActiveProducers is the number of idempotent producers that the log knows.
func (l *Log) ActiveProducers() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.producers.byID)
}

// ExpireProducers forgets producers that have been silent for too long.
func (l *Log) ExpireProducers(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.producers.expire(now.UnixMilli(), l.options.Load().ProducerIDExpirationMs)
}

// readAll reads n bytes, for records that must be looked into.
func readAll(file io.ReaderAt, buf []byte, position int64) error {
	n, err := file.ReadAt(buf, position)
	if n == len(buf) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = fmt.Errorf("%d of %d bytes at %d: %w", n, len(buf), position, ErrCorrupt)
	}
	return err
}

// removeFile removes a file that may be gone already.
func removeFile(fsys vfs.FS, path string) (removed bool, err error) {
	switch err := fsys.Remove(path); {
	case err == nil:
		return true, nil
	case errors.Is(err, os.ErrNotExist):
		return false, nil
	default:
		return false, err
	}
}

// FirstSegmentBase is the base offset of the first segment.
func (l *Log) FirstSegmentBase() int64 {
	segments := *l.segments.Load()
	if len(segments) == 0 {
		return l.LogStartOffset()
	}
	return segments[0].base
}

// String is the form that Kafka logs a log in.
func (l *Log) String() string {
	m := l.readMarks()
	return fmt.Sprintf("Log(dir=%s, topic=%s, partition=%d, highWatermark=%d, lastStableOffset=%d, logStartOffset=%d, logEndOffset=%d)",
		l.Dir(), l.partition.Topic, l.partition.Partition, m.high.Offset, m.lastStable().Offset, m.start, m.end.Offset)
}
