package commitlog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/kerr"
	"gregor/pkg/record"
	"gregor/pkg/vfs"
)

func FuzzCheckpoint(f *testing.F) {
	for _, s := range []string{"", "0\n0\n", "0\n1\n0 0\n", "0\n2\n0 0\n5 77\n", "1\n0\n", "0\n-1\n", "0\n1\n0 0"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		lines, err := parseCheckpoint("file", data)
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			return
		}
		for _, line := range lines {
			if e, err := parseEpochLine(line); err == nil {
				again, err := parseEpochLine(fmt.Sprintf("%d %d", e.epoch, e.start))
				require.NoError(t, err)
				require.Equal(t, e, again)
			}
		}
	})
}

func FuzzPartitionMetadata(f *testing.F) {
	f.Add("version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ")
	f.Add("version: 1\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ")
	f.Add("version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := parsePartitionMetadata("file", text)
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			return
		}
		again, err := parsePartitionMetadata("file", "version: 0\ntopic_id: "+id.String())
		require.NoError(t, err)
		require.Equal(t, id, again)
	})
}

func FuzzSnapshot(f *testing.F) {
	ps := newProducers()
	f.Add(encodeSnapshot(ps.byID))
	for i := range int64(3) {
		p := ps.get(i << 33)
		p.addBatch(producedBatch{lastSequence: 3, lastOffset: 9, offsetDelta: 1, timestamp: 5})
		p.txnFirstOffset = i - 1
	}
	f.Add(encodeSnapshot(ps.byID))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := decodeSnapshot(data)
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			// Once more with a checksum that is right.
			if len(data) < snapshotHeaderSize {
				return
			}
			data = bytes.Clone(data)
			binary.BigEndian.PutUint32(data[2:], checksum(data[6:]))
			if entries, err = decodeSnapshot(data); err != nil {
				return
			}
		}
		require.Len(t, data, snapshotHeaderSize+len(entries)*snapshotEntrySize)
		ps := newProducers()
		ps.load(entries, 1, 0, 1<<62)
		again, err := decodeSnapshot(encodeSnapshot(ps.byID))
		require.NoError(t, err)
		require.Len(t, again, len(ps.byID))
	})
}

func FuzzTxnIndex(f *testing.F) {
	f.Add(AbortedTxn{1, 2, 3, 4}.encode())
	f.Add(append(AbortedTxn{1, 2, 3, 4}.encode(), AbortedTxn{1, 5, 9, 10}.encode()...))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := decodeTxnIndex(data, 0)
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			return
		}
		var again []byte
		for _, e := range entries {
			again = append(again, e.encode()...)
		}
		require.True(t, bytes.Equal(data, again))
	})
}

// FuzzIndexes puts any bytes in the place of a segment's indexes: whatever
// they say, the records read are the right ones.
func FuzzIndexes(f *testing.F) {
	mem := vfs.NewMem()
	cfg, values := sample(f, mem)
	for _, name := range []string{indexExt, timeIndexExt} {
		data, err := vfs.ReadFile(mem, cfg.Dir+"/00000000000000000000"+name, 1<<20)
		require.NoError(f, err)
		f.Add(data, data)
	}
	f.Fuzz(func(t *testing.T, offsets, times []byte) {
		c := mem.Clone()
		require.NoError(t, vfs.WriteFile(c, cfg.Dir+"/00000000000000000000"+indexExt, offsets))
		require.NoError(t, vfs.WriteFile(c, cfg.Dir+"/00000000000000000000"+timeIndexExt, times))
		damaged := cfg
		damaged.FS = c
		requirePrefix(t, damaged, values, "fuzzed indexes")
	})
}

// FuzzLogFile puts any bytes behind the records of the last segment: nothing
// but whole batches with a right checksum is kept by a recovery.
func FuzzLogFile(f *testing.F) {
	f.Add([]byte{}, false)
	f.Add([]byte(batchOf("x")), false)
	f.Add([]byte(batchOf("x"))[:60], true)
	f.Add(bytes.Repeat([]byte{0}, 100), true)
	f.Fuzz(func(t *testing.T, tail []byte, cleanFirst bool) {
		cfg := testConfig(vfs.NewMem())
		l := openTest(t, cfg)
		appendTest(t, l, batchOf("a", "b"))
		require.NoError(t, l.Close())
		file, err := cfg.FS.OpenFile(cfg.Dir+"/00000000000000000000.log", 2, 0)
		require.NoError(t, err)
		_, err = file.WriteAt(tail, int64(len(batchOf("a", "b"))))
		require.NoError(t, err)
		if cleanFirst {
			if l, err := Open(cfg); err == nil {
				l.Read(0, 1<<20, LogEnd, true)
			}
		}
		cfg.CleanShutdown = false
		l = openTest(t, cfg)
		require.GreaterOrEqual(t, l.LogEndOffset(), int64(2))
		for offset := int64(0); offset < l.LogEndOffset(); {
			info, err := l.Read(offset, 1<<20, LogEnd, true)
			require.NoError(t, err)
			if info.Records.Length == 0 {
				break
			}
			data := make([]byte, info.Records.Length)
			require.NoError(t, readAll(info.Records.File, data, info.Records.Position))
			info.Records.Release()
			h, err := parseHeader(data, 0)
			require.NoError(t, err)
			require.True(t, validBatch(data[:h.size]))
			require.Greater(t, h.lastOffset+1, offset)
			offset = h.lastOffset + 1
		}
	})
}

// FuzzAppend gives a leader and a follower any bytes: an error of the
// protocol, or one batch that can be read.
func FuzzAppend(f *testing.F) {
	f.Add([]byte(batchOf("a", "b")), false)
	f.Add([]byte(produced(3, 0, 0, 2).MustBuild()), true)
	f.Add([]byte(record.NewEndTxnMarker(record.EndTxnMarker{}, 1, 1, 1)), true)
	f.Fuzz(func(t *testing.T, data []byte, compact bool) {
		l := newTest(t, func(o *Options) { o.Compact, o.CompressionType = compact, "lz4" })
		if batch, _, err := record.Split(bytes.Clone(data)); err == nil {
			batch.SetMaxTimestamp(!batch.LogAppendTime(), batch.MaxTimestamp()) // with a right checksum too
			l.AppendAsLeader(batch, 1, OriginClient)
		}
		info, err := l.AppendAsLeader(bytes.Clone(data), 1, OriginClient)
		if err != nil {
			require.NotEqual(t, kerr.UnknownServerError, kerr.Of(err), "%v", err)
			require.NotErrorIs(t, err, kerr.KafkaStorageError)
		} else if info.FirstOffset >= 0 {
			require.Equal(t, l.LogEndOffset(), info.LastOffset+1)
		}
		if _, err := newTest(t, nil).AppendAsFollower(data); err != nil {
			require.False(t, strings.Contains(err.Error(), "disk"), "%v", err)
			require.NotErrorIs(t, err, kerr.KafkaStorageError)
		}
	})
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }
