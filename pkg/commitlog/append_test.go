package commitlog

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/compress"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/record"
	"gregor/pkg/vfs"
)

func newTest(t testing.TB, change func(*Options)) *Log {
	t.Helper()
	cfg := testConfig(vfs.NewMem())
	if change != nil {
		change(&cfg.Options)
	}
	return openTest(t, cfg)
}

// produced is a batch of n keyless records of an idempotent producer.
func produced(id int64, epoch int16, sequence int32, n int) *record.Builder {
	b := record.NewBuilder(compress.None)
	b.ProducerID, b.ProducerEpoch, b.BaseSequence = id, epoch, sequence
	for i := range n {
		b.Append(baseTime+int64(i), nil, []byte("v"))
	}
	return b
}

func TestRefusedBatches(t *testing.T) {
	old := append([]byte(nil), batchOf("a")...)
	old[16] = 1
	short := func(o *Options) { o.MaxMessageBytes = 70 }
	control := record.NewEndTxnMarker(record.EndTxnMarker{}, 1, 0, 1)
	rebuilt := func(change func(b record.Batch)) []byte {
		b := append(record.Batch(nil), batchOf("a", "b")...)
		change(b)
		b.SetMaxTimestamp(!b.LogAppendTime(), 1)
		b.SetMaxTimestamp(!b.LogAppendTime(), baseTime+1) // the checksum is right again
		return b
	}
	for name, tc := range map[string]struct {
		options func(*Options)
		bytes   []byte
		want    *kerr.Error
	}{
		"another format":       {nil, old, kerr.CorruptMessage},
		"wrong checksum":       {nil, func() []byte { b := batchOf("a"); b[len(b)-2] ^= 1; return b }(), kerr.CorruptMessage},
		"magic 7":              {nil, func() []byte { b := batchOf("a"); b[16] = 7; return b }(), kerr.CorruptMessage},
		"too large":            {short, batchOf("a", "b", "c"), kerr.MessageTooLarge},
		"larger than segments": {func(o *Options) { o.SegmentBytes = 70 }, batchOf("a", "b", "c"), kerr.RecordListTooLarge},
		"two batches":          {nil, append(append([]byte(nil), batchOf("a")...), batchOf("b")...), kerr.InvalidRecord},
		"base offset 5":        {nil, func() []byte { b := batchOf("a"); b.SetBaseOffset(5); return b }(), kerr.InvalidRecord},
		"control batch":        {nil, control, kerr.InvalidRecord},
		"id without sequence":  {nil, produced(1, 0, -1, 1).MustBuild(), kerr.InvalidRecord},
		"wrong count":          {nil, rebuilt(func(b record.Batch) { b[60]++ }), kerr.InvalidRecord},
		"no records":           {nil, rebuilt(func(b record.Batch) { b[60] = 0 }), kerr.InvalidRecord},
		"wrong last delta":     {nil, rebuilt(func(b record.Batch) { b[26]++ }), kerr.InvalidRecord},
		"negative last delta":  {nil, rebuilt(func(b record.Batch) { b[23] = 0xff }), kerr.InvalidRecord},
		"no such codec":        {nil, rebuilt(func(b record.Batch) { b[22] |= 7 }), kerr.InvalidRecord},
		"not compressed":       {nil, rebuilt(func(b record.Batch) { b[22] |= 2 }), kerr.InvalidRecord},
		"broken record":        {nil, rebuilt(func(b record.Batch) { b[61] = 1 }), kerr.InvalidRecord},
	} {
		t.Run(name, func(t *testing.T) {
			l := newTest(t, tc.options)
			_, err := l.AppendAsLeader(tc.bytes, 0, OriginClient)
			require.Equal(t, tc.want.Name, kerr.Of(err).Name, "%v", err)
			require.Zero(t, l.LogEndOffset())
			require.Zero(t, l.Size())
		})
	}
	l := newTest(t, nil)
	info, err := l.AppendAsLeader(nil, 0, OriginClient)
	require.NoError(t, err)
	require.EqualValues(t, -1, info.FirstOffset)
}

func TestRefusedRecords(t *testing.T) {
	keyless := record.NewBuilder(compress.None).Append(1, nil, []byte("a")).Append(2, []byte("k"), nil).Append(3, nil, nil).MustBuild()
	l := newTest(t, func(o *Options) { o.Compact = true })
	_, err := l.AppendAsLeader(keyless, 0, OriginClient)
	var refused *RecordErrors
	require.ErrorAs(t, err, &refused)
	require.ErrorIs(t, err, kerr.InvalidRecord)
	require.Equal(t, "One or more records have been rejected", err.Error())
	const text = "Compacted topic cannot accept message without key in topic partition t-0."
	require.Equal(t, []RecordError{{0, text}, {2, text}}, refused.Records)

	l = newTest(t, func(o *Options) { o.TimestampDifferenceMaxMs = 60_000 })
	now := time.Now().UnixMilli()
	_, err = l.AppendAsLeader(record.NewBuilder(compress.LZ4).Append(now, nil, nil).Append(now-100_000, nil, nil).Append(-1, nil, nil).MustBuild(), 0, OriginClient)
	require.ErrorAs(t, err, &refused)
	require.ErrorIs(t, err, kerr.InvalidTimestamp)
	require.Equal(t, "One or more records have been rejected due to invalid timestamp", err.Error())
	require.Len(t, refused.Records, 1, "a record without timestamp passes")
	require.EqualValues(t, 1, refused.Records[0].BatchIndex)
	require.Contains(t, refused.Records[0].Message, "of message with offset 1 is out of range. The timestamp should be within [")

	b := record.NewBuilder(compress.None)
	b.SetLogAppendTime(now)
	_, err = newTest(t, nil).AppendAsLeader(b.Append(now, []byte("kk"), []byte("vvv")).MustBuild(), 0, OriginClient)
	require.ErrorAs(t, err, &refused)
	require.ErrorIs(t, err, kerr.InvalidTimestamp)
	require.Contains(t, refused.Records[0].Message, "key=2 bytes, value=3 bytes). Producer should not set timestamp type to LogAppendTime.")
}

func TestLogAppendTime(t *testing.T) {
	l := newTest(t, func(o *Options) { o.LogAppendTime = true })
	before := time.Now().UnixMilli()
	info := appendTest(t, l, batchOf("a", "b"))
	require.GreaterOrEqual(t, info.LogAppendTime, before)
	ts, offset, _, found, err := l.OffsetForTimestamp(before)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, info.LogAppendTime, ts)
	require.Zero(t, offset)
	values, _ := readValues(t, l, 0)
	require.Equal(t, []string{"a", "b"}, values)
}

func TestCompressionTypeOfTheTopic(t *testing.T) {
	for _, target := range []compress.Codec{compress.None, compress.Gzip, compress.Snappy, compress.LZ4, compress.Zstd} {
		l := newTest(t, func(o *Options) {
			o.CompressionType = target.String()
			if target == compress.None {
				o.CompressionType = "uncompressed"
			}
		})
		for _, source := range []compress.Codec{compress.None, compress.LZ4} {
			b := record.NewBuilder(source)
			b.ProducerID, b.ProducerEpoch, b.BaseSequence = 4, 0, int32(l.LogEndOffset())
			appendTest(t, l, b.Append(1, []byte("k"), []byte("v")).Append(2, nil, nil, record.Header{Key: []byte("h")}).MustBuild())
		}
		info, err := l.Read(0, 1<<20, LogEnd, true)
		require.NoError(t, err)
		data := make([]byte, info.Records.Length)
		require.NoError(t, readAll(info.Records.File, data, info.Records.Position))
		info.Records.Release()
		first, rest, err := record.Split(data)
		require.NoError(t, err)
		second, _, err := record.Split(rest)
		require.NoError(t, err)
		require.Equal(t, target, first.Codec())
		require.Equal(t, target, second.Codec())
		require.EqualValues(t, 2, second.BaseOffset())
		require.EqualValues(t, 2, second.BaseSequence())
	}
	l := newTest(t, func(o *Options) { o.CompressionType, o.MaxMessageBytes = "uncompressed", 1000 })
	_, err := l.AppendAsLeader(record.NewBuilder(compress.Zstd).Append(1, nil, make([]byte, 5000)).MustBuild(), 0, OriginClient)
	require.ErrorIs(t, err, kerr.MessageTooLarge, "the stored size counts")
}

// The sequence rules of a producer, as a script against one log.
func TestSequences(t *testing.T) {
	l := newTest(t, nil)
	for _, step := range []struct {
		name   string
		batch  *record.Builder
		first  int64
		repeat bool
		want   *kerr.Error
	}{
		{"any sequence of an unknown producer", produced(9, 0, 5, 2), 0, false, nil},
		{"the next", produced(9, 0, 7, 1), 2, false, nil},
		{"repeated", produced(9, 0, 5, 2), 0, true, nil},
		{"overlap", produced(9, 0, 6, 2), 0, false, kerr.OutOfOrderSequenceNumber},
		{"gap", produced(9, 0, 10, 1), 0, false, kerr.OutOfOrderSequenceNumber},
		{"older epoch of another", produced(8, 3, 0, 1), 3, false, nil},
		{"fenced", produced(8, 2, 1, 1), 0, false, kerr.InvalidProducerEpoch},
		{"new epoch not from 0", produced(9, 1, 3, 1), 0, false, kerr.OutOfOrderSequenceNumber},
		{"new epoch", produced(9, 1, 0, 1), 4, false, nil},
		{"2", produced(9, 1, 1, 1), 5, false, nil},
		{"3", produced(9, 1, 2, 1), 6, false, nil},
		{"4", produced(9, 1, 3, 1), 7, false, nil},
		{"5", produced(9, 1, 4, 1), 8, false, nil},
		{"6", produced(9, 1, 5, 1), 9, false, nil},
		{"the second of six", produced(9, 1, 1, 1), 5, true, nil},
		{"outside the five", produced(9, 1, 0, 1), 0, false, kerr.OutOfOrderSequenceNumber},
		{"the largest sequence", produced(7, 0, 1<<31-2, 2), 10, false, nil},
		{"0 follows it", produced(7, 0, 0, 1), 12, false, nil},
	} {
		info, err := l.AppendAsLeader(step.batch.MustBuild(), 0, OriginClient)
		if step.want != nil {
			require.ErrorIs(t, err, step.want, step.name)
			continue
		}
		require.NoError(t, err, step.name)
		require.Equal(t, step.repeat, info.Duplicate, step.name)
		require.Equal(t, step.first, info.FirstOffset, step.name)
		if step.repeat {
			require.GreaterOrEqual(t, info.LogAppendTime, baseTime, "the stored timestamp")
		}
	}
	_, err := l.AppendAsLeader(produced(9, 1, 99, 1).MustBuild(), 0, OriginCoordinator)
	require.NoError(t, err, "a coordinator's sequences are not checked")
	require.Equal(t, 3, l.ActiveProducers())
	l.ExpireProducers(time.UnixMilli(baseTime).Add(8 * 24 * time.Hour))
	require.Zero(t, l.ActiveProducers())
}

func TestTransactionsMoveTheStableOffset(t *testing.T) {
	l := newTest(t, nil)
	txn := func(id int64, sequence int32) record.Batch {
		b := produced(id, 0, sequence, 1)
		b.Transactional = true
		return b.MustBuild()
	}
	marker := func(id int64, kind record.ControlType, coordinator int32) record.Batch {
		return record.NewEndTxnMarker(record.EndTxnMarker{Type: kind, CoordinatorEpoch: coordinator}, id, 0, baseTime)
	}
	appendTest(t, l, txn(1, 0)) // 0
	appendTest(t, l, txn(2, 0)) // 1
	require.EqualValues(t, 0, l.LastStableOffset())
	_, err := l.AppendAsLeader(produced(1, 0, 1, 1).MustBuild(), 0, OriginClient)
	require.ErrorIs(t, err, kerr.InvalidTxnState)
	_, err = l.AppendAsLeader(marker(1, record.ControlAbort, 5), 0, OriginCoordinator) // 2
	require.NoError(t, err)
	require.EqualValues(t, 0, l.LastStableOffset(), "the marker is not below the high watermark")
	l.SetHighWatermark(3)
	require.EqualValues(t, 1, l.LastStableOffset())
	_, err = l.AppendAsLeader(marker(1, record.ControlAbort, 4), 0, OriginCoordinator)
	require.ErrorIs(t, err, kerr.TransactionCoordinatorFenced)
	_, err = l.AppendAsLeader(marker(2, record.ControlCommit, 5), 0, OriginCoordinator) // 3
	require.NoError(t, err)
	l.SetHighWatermark(4)
	require.EqualValues(t, 4, l.LastStableOffset())
	info, err := l.Read(0, 1<<20, TxnCommitted, true)
	require.NoError(t, err)
	info.Records.Release()
	require.Equal(t, []AbortedTxn{{ProducerID: 1, FirstOffset: 0, LastOffset: 2, LastStableOffset: 1}}, info.Aborted)
}

func TestFollower(t *testing.T) {
	leader, follower := newTest(t, nil), newTest(t, nil)
	require.NoError(t, leader.AssignEpochStart(4, 0))
	var sent []byte
	for _, v := range []string{"a", "b", "c"} {
		b := batchOf(v, v)
		_, err := leader.AppendAsLeader(b, 4, OriginClient)
		require.NoError(t, err)
		sent = append(sent, b...)
	}
	info, err := follower.AppendAsFollower(sent[:len(sent)-3])
	require.NoError(t, err)
	require.EqualValues(t, 3, info.LastOffset, "a cut batch is left out")
	require.EqualValues(t, 4, follower.LatestEpoch())
	_, err = follower.AppendAsFollower(sent)
	require.ErrorIs(t, err, ErrUnexpectedOffset)
	_, err = follower.AppendAsFollower(sent[info.Bytes:])
	require.NoError(t, err)
	require.EqualValues(t, 6, follower.LogEndOffset())
	sent[70] ^= 1
	_, err = follower.AppendAsFollower(sent)
	require.ErrorIs(t, err, kerr.CorruptMessage)
	gap := batchOf("later")
	gap.SetBaseOffset(100)
	_, err = follower.AppendAsFollower(gap)
	require.NoError(t, err, "a compacted leader leaves gaps")
	follower.SetHighWatermark(101)
	read, err := follower.Read(50, 1000, LogEnd, true)
	require.NoError(t, err)
	require.Positive(t, read.Records.Length)
	read.Records.Release()
}

func TestTruncateInTheMiddleOfABatch(t *testing.T) {
	l := newTest(t, nil)
	appendTest(t, l, batchOf("a", "b"))
	appendTest(t, l, batchOf("c", "d"))
	require.NoError(t, l.TruncateTo(3))
	require.EqualValues(t, 3, l.LogEndOffset())
	require.EqualValues(t, len(batchOf("a", "b")), l.Size(), "the batch that held it is gone")
	appendTest(t, l, batchOf("e"))
	info, err := l.Read(2, 1000, LogEnd, true)
	require.NoError(t, err)
	require.Positive(t, info.Records.Length)
	info.Records.Release()
	require.NoError(t, l.TruncateFullyAndStartAt(77))
	require.EqualValues(t, 77, l.LogStartOffset())
	require.EqualValues(t, 77, l.HighWatermark())
	require.EqualValues(t, 77, appendTest(t, l, batchOf("z")).FirstOffset)
}

func TestEpochs(t *testing.T) {
	l := newTest(t, nil)
	require.Equal(t, model.NoLeaderEpoch, l.LatestEpoch())
	for i := range int64(30) {
		_, err := l.AppendAsLeader(batchOf("v"), []model.LeaderEpoch{1, 3, 4}[i/10], OriginClient)
		require.NoError(t, err)
	}
	require.NoError(t, l.AssignEpochStart(4, 25), "known already")
	l.SetHighWatermark(30)
	for _, tc := range []struct {
		ask, epoch model.LeaderEpoch
		end        int64
	}{{-1, -1, -1}, {0, 0, 0}, {1, 1, 10}, {2, 1, 10}, {3, 3, 20}, {4, 4, 30}, {5, -1, -1}} {
		epoch, end := l.EndOffsetForEpoch(tc.ask)
		require.Equal(t, tc.epoch, epoch, "asked for %d", tc.ask)
		require.Equal(t, tc.end, end, "asked for %d", tc.ask)
	}
	require.NoError(t, l.IncrementLogStartOffset(12, "leader offset increment"))
	epoch, start, found := l.EarliestEpochStart()
	require.True(t, found)
	require.Equal(t, epochStart{3, 12}, epochStart{epoch, start})
	require.NoError(t, l.TruncateTo(20))
	require.EqualValues(t, 3, l.LatestEpoch())
	data, err := vfs.ReadFile(l.fs, l.Dir()+"/"+epochFile, 100)
	require.NoError(t, err)
	require.Equal(t, "0\n1\n3 12\n", string(data))
}

func TestRetentionByTimeAndSize(t *testing.T) {
	l := newTest(t, func(o *Options) { o.SegmentBytes, o.RetentionMs = 150, 5 })
	for i := range 6 {
		b := record.NewBuilder(compress.None).Append(baseTime+int64(i)*10, nil, make([]byte, 60)).MustBuild()
		appendTest(t, l, b)
	}
	require.Equal(t, 6, l.Segments())
	l.marks.high = unknownPosition(3)
	n, err := l.DeleteOldSegments(time.UnixMilli(baseTime + 1000))
	require.NoError(t, err)
	require.Equal(t, 3, n, "nothing at or above the high watermark")
	require.EqualValues(t, 3, l.LogStartOffset())
	l.SetHighWatermark(6)
	o := l.Options()
	o.RetentionMs, o.RetentionBytes = -1, 2*l.Size()/3
	l.UpdateOptions(o)
	n, err = l.DeleteOldSegments(time.UnixMilli(baseTime + 1000))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	o.RetentionMs, o.Delete, o.Compact = 0, false, true
	l.UpdateOptions(o)
	n, err = l.DeleteOldSegments(time.Now())
	require.NoError(t, err)
	require.Zero(t, n, "the policy does not delete")
	require.NoError(t, l.IncrementLogStartOffset(5, "client delete records request"))
	n, err = l.DeleteOldSegments(time.Now())
	require.NoError(t, err)
	require.Equal(t, 1, n, "below the log start it does")
	require.ErrorIs(t, l.IncrementLogStartOffset(7, "client delete records request"), kerr.OffsetOutOfRange)
}

func TestLegacyOffsets(t *testing.T) {
	l := newTest(t, func(o *Options) { o.SegmentBytes = 100 })
	for range 3 {
		appendTest(t, l, batchOf("a"))
	}
	require.Equal(t, []int64{3, 2, 1, 0}, l.LegacyOffsetsBefore(LatestTimestamp, 10))
	require.Equal(t, []int64{3}, l.LegacyOffsetsBefore(LatestTimestamp, 1))
	require.Equal(t, []int64{0}, l.LegacyOffsetsBefore(EarliestTimestamp, 10))
	require.Empty(t, l.LegacyOffsetsBefore(5, 10))
}

func TestPartitionMetadata(t *testing.T) {
	cfg := testConfig(vfs.NewMem())
	l := openTest(t, cfg)
	require.True(t, l.TopicID().IsZero())
	id, err := model.ParseTopicID("AAAAAAAAAAAAAAAAAAAAAQ")
	require.NoError(t, err)
	require.NoError(t, l.SetTopicID(id))
	data, err := vfs.ReadFile(cfg.FS, cfg.Dir+"/partition.metadata", 100)
	require.NoError(t, err)
	require.Equal(t, "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ", string(data))
	require.NoError(t, l.Close())
	require.Equal(t, id, openTest(t, cfg).TopicID())
	require.NoError(t, vfs.WriteFile(cfg.FS, cfg.Dir+"/partition.metadata", []byte("version: 0\n")))
	_, err = Open(cfg)
	require.ErrorIs(t, err, ErrCorrupt)
}

func TestPreallocatedFilesAreTrimmed(t *testing.T) {
	cfg := testConfig(vfs.NewMem())
	cfg.Options.Preallocate, cfg.Options.SegmentBytes = true, 4096
	l := openTest(t, cfg)
	appendTest(t, l, batchOf("a"))
	info, err := cfg.FS.Stat(cfg.Dir + "/00000000000000000000.log")
	require.NoError(t, err)
	require.EqualValues(t, 4096, info.Size())
	killed := cfg
	killed.FS, killed.CleanShutdown = cfg.FS.(*vfs.Mem).Clone(), false
	require.EqualValues(t, 1, openTest(t, killed).LogEndOffset(), "the zeros behind the records are no records")
	require.NoError(t, l.Close())
	info, err = cfg.FS.Stat(cfg.Dir + "/00000000000000000000.log")
	require.NoError(t, err)
	require.EqualValues(t, len(batchOf("a")), info.Size())
}

func TestStorageErrorsAreNotRetried(t *testing.T) {
	mem := vfs.NewMem()
	armed := false
	cfg := testConfig(vfs.Faulty(mem, func(op vfs.Op, _ string) error {
		if armed && op == vfs.OpSync {
			return errors.New("the disk is gone")
		}
		return nil
	}))
	told := 0
	cfg.OnFailure = func(error) { told++ }
	l := openTest(t, cfg)
	appendTest(t, l, batchOf("a"))
	armed = true
	require.ErrorIs(t, l.Flush(), kerr.KafkaStorageError)
	armed = false
	_, err := l.AppendAsLeader(batchOf("b"), 0, OriginClient)
	require.ErrorIs(t, err, kerr.KafkaStorageError)
	_, err = l.Read(0, 100, LogEnd, true)
	require.ErrorIs(t, err, kerr.KafkaStorageError)
	require.Equal(t, 1, told)
	require.False(t, vfs.Exists(mem, "/data/t-0/.kafka_cleanshutdown"))
}
