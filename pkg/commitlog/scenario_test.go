package commitlog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/record"
	"gregor/pkg/vfs"
)

// every is n, so that an ordinary run looks at each n-th call only, or 1 in
// `make crash`.
func every(n int) int {
	if os.Getenv("GREGOR_CRASH") != "" {
		return 1
	}
	return n
}

// story is a life of a log: everything that touches files is done once or
// more. It knows what was promised so far.
type story struct {
	t   testing.TB
	cfg Config
	log *Log

	start    int64 // log start that was acknowledged
	end      int64 // behind the last record that was acknowledged
	durable  int64 // below it everything was flushed
	values   map[int64]string
	replaced map[int64][]string // values of records that were truncated

	failed error // what ended it early
}

func newStory(t testing.TB, fs vfs.FS) *story {
	s := &story{t: t, cfg: testConfig(fs), values: map[int64]string{}, replaced: map[int64][]string{}}
	s.cfg.Options.SegmentBytes, s.cfg.Options.IndexIntervalBytes, s.cfg.Options.SegmentIndexBytes = 250, 0, 1200
	return s
}

// promises is a copy of what must hold after a crash now.
func (s *story) promises() story {
	c := *s
	c.values, c.replaced = map[int64]string{}, map[int64][]string{}
	for o, v := range s.values {
		c.values[o] = v
	}
	for o, v := range s.replaced {
		c.replaced[o] = append([]string(nil), v...)
	}
	return c
}

func (s *story) do(err error) bool {
	if err != nil && s.failed == nil {
		s.failed = err
	}
	return s.failed == nil
}

func (s *story) open(clean bool) bool {
	s.cfg.CleanShutdown, s.cfg.LogStartOffset = clean, s.start
	l, err := Open(s.cfg)
	if s.do(err) {
		s.log = l
		l.SetHighWatermark(l.LogEndOffset())
	}
	return s.failed == nil
}

func (s *story) append(n int, epoch model.LeaderEpoch) bool {
	for range n {
		value := fmt.Sprintf("record %d of epoch %d", s.end, epoch)
		// What is being written may survive though nobody was told.
		if old, ok := s.values[s.end]; ok {
			s.replaced[s.end] = append(s.replaced[s.end], old)
		}
		s.values[s.end] = value
		b := produced(7, 0, int32(s.end), 0)
		b.Transactional = true
		b.Append(baseTime+s.end, []byte("k"), []byte(value))
		info, err := s.log.AppendAsLeader(b.MustBuild(), epoch, OriginReplication)
		if !s.do(err) {
			return false
		}
		s.end = info.LastOffset + 1
		if s.end%7 == 0 {
			marker := record.NewEndTxnMarker(record.EndTxnMarker{Type: record.ControlAbort}, 7, 0, baseTime+s.end)
			s.values[s.end] = ""
			if _, err := s.log.AppendAsLeader(marker, epoch, OriginCoordinator); !s.do(err) {
				return false
			}
			s.end++
		}
		s.log.SetHighWatermark(s.end)
	}
	return true
}

func (s *story) flush() bool {
	if !s.do(s.log.Flush()) {
		return false
	}
	s.durable = s.end
	return true
}

// read reads everything; it may fail as any call may, but not lie.
func (s *story) read() bool {
	for offset := s.start; offset < s.end; {
		info, err := s.log.Read(offset, 200, HighWatermark, true)
		if !s.do(err) {
			return false
		}
		data := make([]byte, info.Records.Length)
		err = readAll(info.Records.File, data, info.Records.Position)
		info.Records.Release()
		if err != nil {
			return true // the client's connection breaks
		}
		before := offset
		for batch, rest, err := record.Split(data); err == nil; batch, rest, err = record.Split(rest) {
			offset = batch.NextOffset()
		}
		require.Greater(s.t, offset, before)
	}
	return true
}

func (s *story) truncate(to int64) bool {
	s.durable = min(s.durable, to)
	s.end = to
	return s.do(s.log.TruncateTo(to))
}

func (s *story) deleteRecords(to int64) bool {
	s.start = to // raised already when an error comes back later
	if !s.do(s.log.IncrementLogStartOffset(to, "client delete records request")) {
		return false
	}
	_, err := s.log.DeleteOldSegments(time.UnixMilli(baseTime))
	s.start = s.log.LogStartOffset()
	return s.do(err)
}

func (s *story) retain(bytes int64) bool {
	o := s.cfg.Options
	o.RetentionBytes = bytes
	s.log.UpdateOptions(o)
	_, err := s.log.DeleteOldSegments(time.UnixMilli(baseTime))
	s.start = s.log.LogStartOffset()
	return s.do(err)
}

func (s *story) close() bool {
	if !s.flush() || !s.do(s.log.Close()) {
		return false
	}
	s.cfg.RecoveryPoint = s.log.RecoveryPoint()
	return true
}

// run tells the whole story, until a call fails. tick is called between the
// steps.
func (s *story) run(tick func()) {
	step := func(ok bool) bool {
		tick()
		return ok && s.failed == nil
	}
	_ = step(s.open(true)) && step(s.do(s.log.SetTopicID(model.TopicID{1}))) && step(s.do(s.log.AssignEpochStart(0, 0))) &&
		step(s.append(12, 0)) && step(s.flush()) && step(s.append(5, 0)) && step(s.do(s.log.Roll())) &&
		step(s.do(s.log.AssignEpochStart(1, s.end))) && step(s.append(9, 1)) && step(s.read()) &&
		step(s.truncate(s.end-4)) && step(s.append(6, 2)) && step(s.flush()) && step(s.truncate(s.end-2)) &&
		step(s.append(3, 3)) && step(s.deleteRecords(6)) && step(s.close()) &&
		step(s.open(true)) && step(s.append(8, 4)) && step(s.retain(1200)) && step(s.read()) && step(s.flush()) && step(s.append(2, 5)) && step(s.close())
}

// requireKept opens what a crash left and compares it with what was promised:
// least is the end that the log has to have.
func (s *story) requireKept(fs vfs.FS, least int64, what string) {
	s.t.Helper()
	cfg := s.cfg
	cfg.FS, cfg.CleanShutdown, cfg.OnFailure, cfg.LogStartOffset = fs, false, nil, s.start
	l, err := Open(cfg)
	require.NoError(s.t, err, what)
	require.GreaterOrEqual(s.t, l.LogEndOffset(), least, what)
	end := l.LogEndOffset()
	l.SetHighWatermark(end)
	for offset := l.LogStartOffset(); offset < end; {
		info, err := l.Read(offset, 1<<20, HighWatermark, true)
		require.NoError(s.t, err, what)
		if info.Records.Length == 0 { // records that were not flushed are gone, and the name of the next segment is there
			require.GreaterOrEqual(s.t, offset, s.durable, "%s: nothing at %d of %s; %s", what, offset, l, joinSegments(*l.segments.Load()))
			break
		}
		data := make([]byte, info.Records.Length)
		require.NoError(s.t, readAll(info.Records.File, data, info.Records.Position))
		info.Records.Release()
		for len(data) > 0 {
			batch, rest, err := record.Split(data)
			require.NoError(s.t, err, what)
			require.True(s.t, batch.Valid(), what)
			s.requireValues(batch, offset, what)
			offset, data = batch.NextOffset(), rest
		}
	}
	_, err = l.AppendAsLeader(batchOf("and goes on"), 9, OriginClient)
	require.NoError(s.t, err, what)
	require.NoError(s.t, l.Flush())
	require.NoError(s.t, l.Close())
}

func (s *story) requireValues(batch record.Batch, from int64, what string) {
	s.t.Helper()
	if batch.Control() {
		return
	}
	records := batch.Records(1 << 20)
	defer records.Close()
	for records.Next() {
		r := records.Record()
		if r.Offset < from {
			continue
		}
		if string(r.Value) == s.values[r.Offset] {
			continue
		}
		require.GreaterOrEqual(s.t, r.Offset, s.durable, "%s: offset %d was flushed as %q and is %q", what, r.Offset, s.values[r.Offset], r.Value)
		require.Contains(s.t, s.replaced[r.Offset], string(r.Value), "%s: offset %d", what, r.Offset)
	}
}

// The process is killed, and the power is cut, before every single call to the
// file system. The list of what open does about it is in the package comment.
func TestCrashAtEveryCall(t *testing.T) {
	mem := vfs.NewMem()
	require.NoError(t, mem.MkdirAll("/data", 0o755))
	type crash struct {
		what     string
		fs       *vfs.Mem
		promised story
		least    int64
	}
	var crashes []crash
	var s *story
	random := rand.New(rand.NewPCG(7, 7))
	n := 0
	s = newStory(t, vfs.Faulty(mem, func(op vfs.Op, name string) error {
		n++
		what := fmt.Sprintf("call %d, %s of %s", n, op, name)
		p := s.promises()
		if s.log != nil {
			// A checkpoint of it may have been written just now.
			p.cfg.RecoveryPoint = s.log.RecoveryPoint()
		}
		if op == vfs.OpRead || op == vfs.OpStat || n%every(5) != 0 {
			return nil // the first two change nothing
		}
		crashes = append(crashes, crash{"killed before " + what, mem.Clone(), p, p.end},
			crash{"power cut before " + what, mem.CrashClone(nil), p, p.durable},
			crash{"power cut, some of it written, before " + what, mem.CrashClone(random), p, p.durable})
		return nil
	}))
	s.run(func() {})
	require.NoError(t, s.failed)
	require.Greater(t, len(crashes), 1500/every(5))
	for _, c := range crashes {
		c.promised.requireKept(c.fs, c.least, c.what)
	}
}

// Every call to the file system fails once, with each error that disks have:
// whoever called hears of it or need not care, the log takes no more once it
// has failed, and the next start finds everything that was acknowledged.
func TestEveryCallFailsOnce(t *testing.T) {
	for _, disk := range []error{syscall.ENOSPC, syscall.EIO} {
		for n := 1; ; n += every(6) {
			mem := vfs.NewMem()
			require.NoError(t, mem.MkdirAll("/data", 0o755))
			calls, what := 0, ""
			s := newStory(t, vfs.Faulty(mem, func(op vfs.Op, name string) error {
				if calls++; calls == n {
					what = fmt.Sprintf("call %d, %s of %s: %s", n, op, name, disk)
					return disk
				}
				return nil
			}))
			var reported []error
			s.cfg.OnFailure = func(err error) { reported = append(reported, err) }
			s.run(func() {})
			if what == "" {
				require.NoError(t, s.failed)
				require.Greater(t, n, 400)
				break
			}
			s.requireFailed(reported, disk, what)
			s.requireKept(mem.Clone(), s.end, what)
			s.requireKept(mem.CrashClone(nil), s.durable, "and then the power was cut: "+what)
		}
	}
}

// requireFailed checks that an error came as one of storage and was reported
// once.
func (s *story) requireFailed(reported []error, disk error, what string) {
	s.t.Helper()
	require.LessOrEqual(s.t, len(reported), 1, what)
	for _, err := range reported {
		require.ErrorIs(s.t, err, disk, what)
	}
	if s.failed == nil {
		require.Empty(s.t, reported, what)
		return
	}
	if errors.Is(s.failed, disk) && !errors.Is(s.failed, kerr.KafkaStorageError) {
		return // the log was being opened
	}
	require.ErrorIs(s.t, s.failed, kerr.KafkaStorageError, what)
	require.NotEmpty(s.t, reported, what)
	_, err := s.log.AppendAsLeader(batchOf("x"), 9, OriginClient)
	require.ErrorIs(s.t, err, kerr.KafkaStorageError, "%s: a failed log takes no more", what)
}
