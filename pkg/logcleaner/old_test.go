package logcleaner

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/commitlog"
	"gregor/pkg/compress"
	"gregor/pkg/record"
)

func putOld(t *testing.T, l *commitlog.Log, magic int8, codec compress.Codec, records ...kv) {
	t.Helper()
	b := record.NewOldBuilder(magic, codec)
	for i, r := range records {
		b.Append(int64(i), baseTime+int64(i), []byte(r.key), bytesOf(r.value))
	}
	set, err := b.Build()
	require.NoError(t, err)
	_, err = l.AppendAsLeader(set, 0, commitlog.OriginClient)
	require.NoError(t, err)
	l.SetHighWatermark(l.LogEndOffset())
}

// oldContents reads a log of any format: "format offset key=value @timestamp".
func oldContents(t *testing.T, l *commitlog.Log) (all []string) {
	t.Helper()
	for offset := int64(0); offset < l.LogEndOffset(); {
		info, err := l.Read(offset, 1<<20, commitlog.LogEnd, true)
		require.NoError(t, err)
		data := make([]byte, info.Records.Length)
		_, err = info.Records.File.ReadAt(data, info.Records.Position)
		require.NoError(t, err)
		info.Records.Release()
		for len(data) > 0 {
			b, rest, err := record.SplitAny(data)
			require.NoError(t, err)
			require.True(t, b.Valid())
			require.NoError(t, b.Visit(1<<20, func(r *record.Record) error {
				all = append(all, fmt.Sprintf("%d %d %s=%s @%d", b.Magic(), r.Offset, r.Key, r.Value, r.Timestamp))
				return nil
			}))
			data, offset = rest, b.LastOffset()+1
		}
	}
	return all
}

func TestOldFormatsAreCompacted(t *testing.T) {
	for magic := range int8(2) {
		for _, codec := range []compress.Codec{compress.None, compress.Gzip, compress.Snappy, compress.LZ4} {
			t.Run(fmt.Sprintf("format %d, %s", magic, codec), func(t *testing.T) {
				l := memLog(t, func(o *commitlog.Options) { o.OldFormat = commitlog.OldFormatOf(magic) })
				putOld(t, l, magic, codec, kv{"a", 1}, kv{"b", 2}, kv{"c", 3})
				putOld(t, l, magic, codec, kv{"a", 4})
				putOld(t, l, magic, codec, kv{"d", 5}, kv{"d", nil})
				putOld(t, l, magic, codec, kv{"e", 6}, kv{"f", 7})
				roll(t, l)
				putOld(t, l, magic, codec, kv{"c", 8})
				cleanNow(t, newShelf(l))
				at := func(ms int64) int64 {
					if magic == 0 {
						return record.NoTimestamp
					}
					return baseTime + ms
				}
				require.Equal(t, []string{
					fmt.Sprintf("%d 1 b=2 @%d", magic, at(1)),
					fmt.Sprintf("%d 2 c=3 @%d", magic, at(2)),
					fmt.Sprintf("%d 3 a=4 @%d", magic, at(0)),
					fmt.Sprintf("%d 5 d= @%d", magic, at(1)),
					fmt.Sprintf("%d 6 e=6 @%d", magic, at(0)),
					fmt.Sprintf("%d 7 f=7 @%d", magic, at(1)),
					fmt.Sprintf("%d 8 c=8 @%d", magic, at(0)),
				}, oldContents(t, l))

				// A log whose format was changed has both.
				o := l.Options()
				o.OldFormat = commitlog.OldFormatOf(2)
				l.UpdateOptions(o)
				put(t, l, kv{"b", 9})
				roll(t, l)
				cleanNow(t, newShelf(l))
				require.Len(t, oldContents(t, l), 6)
				require.Contains(t, oldContents(t, l), fmt.Sprintf("2 9 b=9 @%d", baseTime))
			})
		}
	}
}
