package replica

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/commitlog"
	"gregor/pkg/config"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/quota"
	"gregor/pkg/record"
	"gregor/pkg/vfs"
)

// stopping is a quota that lets one step pass and then nothing until the limit
// is lifted.
func stopping() *quota.Replication {
	q := quota.NewReplication(quota.Windows{Samples: 2, Size: time.Hour})
	q.SetLimit(0)
	return q
}

// newMoving is broker 1 with three directories.
func newMoving(t testing.TB, moves *quota.Replication, fs vfs.FS) *broker {
	b := &broker{t: t, id: 1, out: &lines{}, least: 1, protocol: config.IBP_2_8_IV1, lagMax: 30 * time.Second, nodes: &znodes{}, moves: moves, fs: fs,
		dirs: []string{t.TempDir(), t.TempDir(), t.TempDir()}}
	b.start(b.dirs)
	t.Cleanup(b.stop)
	b.live(4, 1)
	return b
}

func (b *broker) alter(partition int32, dir string) string {
	moves := []LogDirMove{{TopicPartition: tp(partition), Dir: dir}}
	b.AlterLogDirs(moves)
	if moves[0].Err == nil {
		return "NONE"
	}
	return kerr.Of(moves[0].Err).Name
}

// where is the number of the directory that a partition is served from.
func (b *broker) where(partition int32) int {
	p, err := b.Partition(tp(partition))
	require.NoError(b.t, err)
	return slices.Index(b.dirs, p.Log().ParentDir())
}

func (b *broker) future(partition int32) *commitlog.Log {
	p, err := b.Partition(tp(partition))
	require.NoError(b.t, err)
	return p.Future()
}

func (b *broker) awaitDir(partition int32, dir int) {
	b.t.Helper()
	require.Eventually(b.t, func() bool { return b.where(partition) == dir && b.future(partition) == nil }, 20*time.Second, time.Millisecond)
}

// requireDirs checks the directories of t-0, by their ends: "", -future,
// -delete.
func (b *broker) requireDirs(want ...string) {
	b.t.Helper()
	for i, dir := range b.dirs {
		found, err := filepath.Glob(filepath.Join(dir, "t-0*"))
		require.NoError(b.t, err)
		ends := []string{}
		for _, path := range found {
			end := strings.TrimPrefix(filepath.Base(path), "t-0")
			ends = append(ends, "t-0"+end[strings.LastIndexByte(end, '-')+1:])
		}
		slices.Sort(ends)
		require.Equal(b.t, want[i], strings.Join(ends, " "), dir)
	}
}

// contents is everything in a log, as bytes.
func contents(t require.TestingT, log *commitlog.Log) []byte {
	var all []byte
	for offset := log.LogStartOffset(); offset < log.LogEndOffset(); {
		info, err := log.Read(offset, 1<<20, commitlog.LogEnd, true)
		require.NoError(t, err)
		data := make([]byte, info.Records.Length)
		_, err = info.Records.File.ReadAt(data, info.Records.Position)
		require.NoError(t, err)
		releaseRegion(&info.Records)
		from := offset
		for len(data) > 0 {
			batch, rest, err := record.Split(data)
			if errors.Is(err, record.ErrShort) {
				break
			}
			require.NoError(t, err)
			all, offset, data = append(all, batch...), batch.NextOffset(), rest
		}
		require.Greater(t, offset, from, "%s has nothing at offset %d", log, from)
	}
	return all
}

// fillUp appends so much that a move of it takes several steps.
func (b *broker) fillUp(partition int32, batches int) {
	b.t.Helper()
	for i := range batches {
		require.NoError(b.t, b.put(partition, -1, 10*time.Second, strings.Repeat(fmt.Sprintf("%9d ", i), 10_000)).Err)
	}
}

func TestMoveToAnotherDirectory(t *testing.T) {
	b := newMoving(t, nil, nil)
	require.Equal(t, "t-0=NONE", b.apply(leaderAndIsr(7, alone(0, 0))))
	for i := range 30 {
		require.NoError(t, b.put(0, -1, time.Second, fmt.Sprint(i), "x").Err)
	}
	require.Equal(t, "t-0=NONE", b.apply(leaderAndIsr(7, alone(0, 1))), "an epoch that begins without records")
	_, err := deleteTo(b.Manager, t.Context(), 0, 0, 3)
	require.NoError(t, err)
	before, from := b.logs.Get(tp(0)), b.where(0)
	require.NoError(t, before.Flush())
	want, to := contents(t, before), (from+1)%3
	b.out.take()
	require.Equal(t, "NONE", b.alter(0, b.dirs[from]), "it is there")
	require.Equal(t, "NONE", b.alter(0, b.dirs[to]))
	b.awaitDir(0, to)

	log := b.logs.Get(tp(0))
	require.NotSame(t, before, log)
	require.Equal(t, want, contents(t, log))
	require.Equal(t, []int64{3, 60, 60, 60}, []int64{log.LogStartOffset(), log.HighWatermark(), log.LogEndOffset(), log.RecoveryPoint()})
	require.Equal(t, model.LeaderEpoch(1), log.LatestEpoch())
	require.Equal(t, model.TopicID{7}, log.TopicID())
	ends := []string{"", "", ""}
	ends[from], ends[to] = "t-0delete", "t-0"
	b.requireDirs(ends...)
	require.NoError(t, b.put(0, -1, time.Second, "after").Err)
	require.Equal(t, int64(61), log.HighWatermark())

	var told []string
	require.Eventually(t, func() bool {
		told = append(told, b.out.take()...)
		return strings.Contains(told[len(told)-1], "Shutdown completed")
	}, 10*time.Second, time.Millisecond)
	thread := fmt.Sprintf("ReplicaAlterLogDirsThread-%d", fetcherID(tp(0), 2))
	slices.Sort(told)
	require.Equal(t, []string{
		"INFO [Partition t-0 broker=1] Current log directory " + b.dirs[from] + " is same as requested log dir " + b.dirs[from] + ". Skipping future replica creation. (kafka.cluster.Partition)",
		"INFO [Partition t-0 broker=1] Log loaded for partition t-0 with initial high watermark 0 (kafka.cluster.Partition)",
		"INFO [Partition t-0 broker=1] No checkpointed highwatermark is found for partition t-0 (kafka.cluster.Partition)",
		"INFO [ReplicaAlterLogDirsManager on broker 1] Added log dir fetcher for partitions with initial offsets Map(t-0 -> InitialFetchState(BrokerEndPoint(id=1, host=localhost:-1),1,0)) (kafka.server.ReplicaAlterLogDirsManager)",
		"INFO [" + thread + "]: Beginning/resuming copy of partition t-0 from offset 0. Including this partition, there are 1 remaining partitions to copy by this thread. (kafka.server.ReplicaAlterLogDirsThread)",
		"INFO [" + thread + "]: Shutdown completed (kafka.server.ReplicaAlterLogDirsThread)",
		"INFO [" + thread + "]: Shutting down (kafka.server.ReplicaAlterLogDirsThread)",
		"INFO [" + thread + "]: Starting (kafka.server.ReplicaAlterLogDirsThread)",
		"INFO [" + thread + "]: Stopped (kafka.server.ReplicaAlterLogDirsThread)",
		"INFO [" + thread + "]: Truncating partition t-0 to local high watermark 0 (kafka.server.ReplicaAlterLogDirsThread)",
		"WARN [" + thread + "]: Reset fetch offset for partition t-0 from 0 to current leader's start offset 3 (kafka.server.ReplicaAlterLogDirsThread)",
	}, told)
}

func TestMovesThatCannotBe(t *testing.T) {
	b := newMoving(t, nil, nil)
	b.apply(leaderAndIsr(7, alone(0, 0)))
	require.Equal(t, "LOG_DIR_NOT_FOUND", b.alter(0, "/elsewhere"))
	require.Equal(t, "LOG_DIR_NOT_FOUND", b.alter(0, b.dirs[0]+"/"))
	require.Equal(t, "UNKNOWN_TOPIC_OR_PARTITION", b.alter(9, b.dirs[0]))
	long := []LogDirMove{{TopicPartition: model.TopicPartition{Topic: strings.Repeat("x", 214)}, Dir: b.dirs[0]}}
	b.AlterLogDirs(long)
	require.ErrorIs(t, long[0].Err, kerr.InvalidTopicException)
	for partition := range int32(3) {
		require.Equal(t, "REPLICA_NOT_AVAILABLE", b.alter(partition+1, b.dirs[2]))
	}
	b.apply(leaderAndIsr(7, alone(1, 0), alone(2, 0), alone(3, 0)))
	for partition := range int32(3) {
		require.Equal(t, 2, b.where(partition+1), "the directory was remembered")
	}
	b.takeOffline(b.dirs[2])
	require.Equal(t, "KAFKA_STORAGE_ERROR", b.alter(1, b.dirs[1]))
}

// A producer that waits for every record and a consumer that reads each as it
// comes notice nothing of moves.
func TestMoveUnderLoad(t *testing.T) {
	b := newMoving(t, nil, nil)
	b.apply(leaderAndIsr(7, alone(0, 0)))
	var stop atomic.Bool
	var produced atomic.Int64
	var group sync.WaitGroup
	for producer := range 3 {
		group.Go(func() {
			for i := 0; !stop.Load(); i++ {
				a := b.put(0, -1, time.Minute, fmt.Sprintf("%d-%d", producer, i), strings.Repeat("x", 1000))
				if a.Err != nil {
					t.Error(a.Err)
					return
				}
				produced.Add(2)
			}
		})
	}
	group.Go(func() {
		for offset := int64(0); !stop.Load() || offset < produced.Load(); {
			fetches := []Fetch{{TopicPartition: tp(0), Offset: offset, MaxBytes: 1 << 20, LeaderEpoch: -1, LastFetchedEpoch: -1}}
			b.Fetch(t.Context(), &FetchParams{ReplicaID: ConsumerID, MaxWait: 10 * time.Millisecond, MinBytes: 1, MaxBytes: 1 << 20, Isolation: commitlog.HighWatermark}, fetches)
			r := fetches[0].Result
			if r.Err != nil {
				t.Error(offset, r.Err)
				return
			}
			data := make([]byte, r.Records.Length)
			if len(data) > 0 {
				if _, err := r.Records.File.ReadAt(data, r.Records.Position); err != nil {
					t.Error(err)
				}
			}
			Release(fetches)
			for len(data) > 0 {
				got, rest, err := record.Split(data)
				if errors.Is(err, record.ErrShort) {
					break
				}
				if err != nil || got.BaseOffset() != offset || !got.Valid() {
					t.Errorf("offset %d: %v", offset, err)
					return
				}
				offset, data = got.NextOffset(), rest
			}
		}
	})
	for range 6 {
		to := (b.where(0) + 1) % 3
		require.Equal(t, "NONE", b.alter(0, b.dirs[to]))
		b.awaitDir(0, to)
		enough := produced.Load() + 20
		require.Eventually(t, func() bool { return produced.Load() > enough }, 10*time.Second, time.Millisecond)
	}
	stop.Store(true)
	group.Wait()
	require.Equal(t, produced.Load(), b.logs.Get(tp(0)).HighWatermark())
}

func TestMoveIsChangedAndCancelled(t *testing.T) {
	q := stopping()
	b := newMoving(t, q, nil)
	b.apply(leaderAndIsr(7, alone(0, 0)))
	b.fillUp(0, 25)
	require.Zero(t, b.where(0))
	began := func(dir int) {
		t.Helper()
		require.Eventually(t, func() bool { f := b.future(0); return f != nil && f.ParentDir() == b.dirs[dir] }, 10*time.Second, time.Millisecond)
	}
	require.Equal(t, "NONE", b.alter(0, b.dirs[1]))
	began(1)
	require.Eventually(t, func() bool { return b.future(0).LogEndOffset() > 0 }, 10*time.Second, time.Millisecond)
	require.Less(t, b.future(0).LogEndOffset(), int64(25))
	require.Equal(t, "NONE", b.alter(0, b.dirs[1]), "once more: it goes on")
	b.requireDirs("t-0", "t-0future", "")
	described := 0
	for _, d := range b.DescribeDirs() {
		for _, l := range d.Logs {
			described++
			require.Equal(t, d.Dir == b.dirs[1], l.Future)
		}
	}
	require.Equal(t, 2, described)
	low, err := deleteTo(b.Manager, t.Context(), 5*time.Millisecond, 0, 7)
	require.ErrorIs(t, err, kerr.RequestTimedOut, "the copy has not followed")
	require.Zero(t, low)

	require.Equal(t, "NONE", b.alter(0, b.dirs[2]))
	began(2)
	b.requireDirs("t-0", "t-0delete", "t-0future")
	require.Equal(t, "NONE", b.alter(0, b.dirs[0]))
	require.Nil(t, b.future(0))
	require.Nil(t, b.logs.Future(tp(0)))
	b.requireDirs("t-0", "t-0delete", "t-0delete")

	require.Equal(t, "NONE", b.alter(0, b.dirs[1]))
	q.SetLimit(quota.Unlimited)
	b.awaitDir(0, 1)
	require.Equal(t, int64(25), b.logs.Get(tp(0)).HighWatermark())
	require.Equal(t, int64(7), b.logs.Get(tp(0)).LogStartOffset())
}

// A move goes on after the broker was stopped in order, and after it was
// killed: then on its files as they were at some moment.
func TestMoveGoesOnAfterARestart(t *testing.T) {
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed=%t", killed), func(t *testing.T) {
			q := stopping()
			b := newMoving(t, q, nil)
			b.apply(leaderAndIsr(7, alone(0, 0)))
			b.fillUp(0, 25)
			want := contents(t, b.logs.Get(tp(0)))
			require.Equal(t, "NONE", b.alter(0, b.dirs[1]))
			require.Eventually(t, func() bool { return b.future(0).LogEndOffset() > 0 }, 10*time.Second, time.Millisecond)
			copied := b.future(0).LogEndOffset()
			images := make([]string, len(b.dirs))
			for i, dir := range b.dirs {
				if images[i] = dir; killed {
					images[i] = filepath.Join(t.TempDir(), "image")
					require.NoError(t, os.CopyFS(images[i], os.DirFS(dir)))
				}
			}
			require.NoError(t, b.Close())
			require.NoError(t, b.logs.Shutdown())
			b.dirs = images
			b.start(images)
			b.live(1, 1)
			require.Equal(t, copied, b.logs.Future(tp(0)).LogEndOffset())
			b.requireDirs("t-0", "t-0future", "")
			require.Equal(t, "t-0=NONE", b.apply(leaderAndIsr(7, alone(0, 5))))
			require.NotNil(t, b.future(0))
			q.SetLimit(quota.Unlimited)
			b.awaitDir(0, 1)
			require.Equal(t, want, contents(t, b.logs.Get(tp(0))))
			b.requireDirs("t-0delete", "t-0", "")
			require.Equal(t, model.LeaderEpoch(5), b.logs.Get(tp(0)).LatestEpoch())
		})
	}
}

// A copy that is found in the directory of its own log is of no use.
func TestCopyBesideItsLog(t *testing.T) {
	b := newMoving(t, stopping(), nil)
	b.apply(leaderAndIsr(7, alone(0, 0)))
	b.fillUp(0, 25)
	require.Equal(t, "NONE", b.alter(0, b.dirs[1]))
	future := b.future(0).Dir()
	require.NoError(t, b.Close())
	require.NoError(t, b.logs.Shutdown())
	require.NoError(t, os.Rename(future, filepath.Join(b.dirs[0], filepath.Base(future))))
	b.start(b.dirs)
	b.live(1, 1)
	require.Equal(t, "t-0=NONE", b.apply(leaderAndIsr(7, alone(0, 1))))
	require.Nil(t, b.future(0))
	b.requireDirs("t-0 t-0delete", "", "")
}

func TestTopicIsDeletedWhileItMoves(t *testing.T) {
	q := stopping()
	b := newMoving(t, q, nil)
	b.apply(leaderAndIsr(7, alone(0, 0)))
	b.fillUp(0, 25)
	require.Equal(t, "NONE", b.alter(0, b.dirs[1]))
	req := kmsg.NewPtrStopReplicaRequest()
	req.Version, req.ControllerEpoch, req.BrokerEpoch = 3, 4, 50
	s := kmsg.NewStopReplicaRequestTopicPartitionState()
	s.Partition, s.LeaderEpoch, s.Delete = 0, -2, true
	req.Topics = []kmsg.StopReplicaRequestTopic{{Topic: "t", PartitionStates: []kmsg.StopReplicaRequestTopicPartitionState{s}}}
	results, err := b.StopReplicas(req, 1)
	require.Equal(t, "t-0=NONE", outcome(results, err))
	require.Nil(t, b.logs.Future(tp(0)))
	require.Nil(t, b.logs.Get(tp(0)))
	b.requireDirs("t-0delete", "t-0delete", "")
	require.Equal(t, "t-0=NONE", b.apply(leaderAndIsr(8, alone(0, 0))), "the topic comes again")
	require.Zero(t, b.logs.Get(tp(0)).LogEndOffset())
}

// brokenDirs makes every write in some directories fail.
type brokenDirs struct{ broken atomic.Pointer[string] }

func (d *brokenDirs) check(op vfs.Op, name string) error {
	if dir := d.broken.Load(); dir != nil && strings.HasPrefix(name, *dir) && (op == vfs.OpWrite || op == vfs.OpRename || op == vfs.OpSync) {
		return &os.PathError{Op: string(op), Path: name, Err: syscall.EIO}
	}
	return nil
}

func TestDirectoriesFailDuringAMove(t *testing.T) {
	for _, source := range []bool{false, true} {
		t.Run(fmt.Sprintf("source=%t", source), func(t *testing.T) {
			q, d := stopping(), &brokenDirs{}
			b := newMoving(t, q, vfs.Faulty(vfs.OS, d.check))
			b.apply(leaderAndIsr(7, alone(0, 0)))
			b.fillUp(0, 25)
			require.Equal(t, "NONE", b.alter(0, b.dirs[1]))
			require.Eventually(t, func() bool { return b.future(0).LogEndOffset() > 0 }, 10*time.Second, time.Millisecond)
			broken := b.dirs[1]
			if source {
				broken = b.dirs[0]
			}
			d.broken.Store(&broken)
			b.out.take()
			var told strings.Builder
			awaitLine := func(line string) {
				t.Helper()
				require.Eventually(t, func() bool {
					told.WriteString(strings.Join(b.out.take(), "\n"))
					return strings.Contains(told.String(), line)
				}, 10*time.Second, time.Millisecond, line)
			}
			if source {
				require.ErrorIs(t, b.put(0, -1, time.Second, "x").Err, kerr.KafkaStorageError)
				awaitLine("stopped fetcher for partitions t-0 and stopped moving logs for partitions  because they are in the failed log directory " + broken)
				require.Equal(t, "KAFKA_STORAGE_ERROR", b.alter(0, b.dirs[2]))
				return
			}
			q.SetLimit(quota.Unlimited)
			awaitLine("stopped fetcher for partitions  and stopped moving logs for partitions t-0 because they are in the failed log directory " + broken)
			require.Nil(t, b.future(0))
			require.Nil(t, b.logs.Future(tp(0)))
			require.NoError(t, b.put(0, -1, time.Second, "x").Err, "the log itself goes on")
			require.Equal(t, "KAFKA_STORAGE_ERROR", b.alter(0, b.dirs[1]))
			require.Equal(t, "KAFKA_STORAGE_ERROR", b.alter(0, b.dirs[2]), "as in Kafka, while a directory is offline")
			require.Nil(t, b.future(0))
		})
	}
}

// A follower whose log is cut while it moves: the copy is cut with it, whether
// it was behind the cut or not.
func TestFollowerIsCutWhileItMoves(t *testing.T) {
	q := stopping()
	w := &wires{}
	one, two := newBrokerOf(t, 1, config.IBP_2_8_IV1), newMoving(t, q, nil)
	two.id = 2
	require.NoError(t, two.Close())
	require.NoError(t, two.logs.Shutdown())
	two.start(two.dirs)
	for _, b := range []*broker{one, two} {
		w.connect(b)
		b.live(1, 1, 2)
	}
	lead(0, one, []int32{1, 2}, one, two)
	one.fillUp(0, 5)
	requireSame(t, one, two)
	// Records that only the follower has, from a short leadership of its own.
	w.sever(1, true)
	w.sever(2, true)
	require.Equal(t, "t-0=NONE", two.apply(leaderAndIsr(7, state{0, 2, 1, []int32{2}, []int32{1, 2}})))
	two.fillUp(0, 20)
	require.Equal(t, "NONE", two.alter(0, two.dirs[1]))
	require.Eventually(t, func() bool { return two.future(0).LogEndOffset() > 5 }, 10*time.Second, time.Millisecond)
	require.Equal(t, "t-0=NONE", one.apply(leaderAndIsr(7, state{0, 1, 2, []int32{1}, []int32{1, 2}})))
	for range 12 {
		require.NoError(t, one.put(0, 1, time.Second, strings.Repeat("another history ", 6_000)).Err)
	}
	w.sever(1, false)
	w.sever(2, false)
	require.Equal(t, "t-0=NONE", two.apply(leaderAndIsr(7, state{0, 1, 3, []int32{1}, []int32{1, 2}})))
	require.Equal(t, "t-0=NONE", one.apply(leaderAndIsr(7, state{0, 1, 3, []int32{1}, []int32{1, 2}})))
	require.NoError(t, one.put(0, 1, time.Second, "of the last epoch").Err)
	requireSame(t, one, two)
	require.Zero(t, two.where(0))
	q.SetLimit(quota.Unlimited)
	two.awaitDir(0, 1)
	require.True(t, bytes.Equal(contents(t, one.logs.Get(tp(0))), contents(t, two.logs.Get(tp(0)))))
	requireSame(t, one, two)
}
