package record

import (
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/compress"
)

// oldCaptured are messages of a Java broker, each file's two records in one
// wrapper or in two plain messages.
var oldCaptured = map[string]string{
	"v1":        "0000000000000000000000383c28df5d010000000174876e8000000000026b310000002061616161616161616161616161616161616161616161616161616161616161610000000000000001000000363791c761010000000174876e8005ffffffff000000206161616161616161616161616161616162626262626262626262626262626262",
	"v1 lz4":    "00000000000000010000006ae519662f010300000174876e8005ffffffff0000005404224d186040824500000016000100e0383c28df5d010000000174876e8018008f026b31000000206101000c002b0000370085000000363791c76144005f05ffffffff4200011662010050626262626200000000",
	"v1 snappy": "00000000000000010000007814f6ce5d010200000174876e8005ffffffff0000006282534e415050590000000001000000010000004e86010000190134383c28df5d010000000174876e8001181c026b3100000020617a0100012b01371c000000363791c761010905441005ffffffff4e42003c62626262626262626262626262626262",
	"v0":        "000000000000000000000030721b1d740000000000026b3100000020616161616161616161616161616161616161616161616161616161616161616100000000000000010000002e507c0b2d0000ffffffff000000206161616161616161616161616161616162626262626262626262626262626262",
	"v0 lz4":    "000000000000000100000058a5d3d5530003ffffffff0000004a04224d1860401a3b000000160001005130721b1d740f008f026b31000000206101000c012c00ff020000010000002e507c0b2d0000ffffffff3a00011662010050626262626200000000",
}

// oldMessages cuts a set into messages.
func oldMessages(t testing.TB, b []byte) (messages []OldMessage) {
	for len(b) > 0 {
		n := Overhead + int(binary.BigEndian.Uint32(b[lengthAt:]))
		messages = append(messages, b[:n:n])
		b = b[n:]
	}
	return messages
}

func TestOldMessages(t *testing.T) {
	for name, text := range oldCaptured {
		t.Run(name, func(t *testing.T) {
			var got []OldRecord
			for _, m := range oldMessages(t, unhex(t, text)) {
				require.True(t, m.Valid())
				require.Equal(t, name[1], '0'+byte(m.Magic()))
				require.False(t, m.LogAppendTime())
				require.NoError(t, m.Records(1<<10, func(r OldRecord) error {
					r.Key, r.Value = append([]byte(nil), r.Key...), append([]byte(nil), r.Value...)
					got = append(got, r)
					return nil
				}))
			}
			require.Len(t, got, 2)
			for i, r := range got {
				require.EqualValues(t, i, r.Offset)
				require.True(t, r.Valid)
				want := NoTimestamp
				if name[1] == '1' {
					want = 1600000000000 + int64(i)*5
				}
				require.Equal(t, want, r.Timestamp)
			}
			require.Equal(t, "k1", string(got[0].Key))
			require.Equal(t, strings.Repeat("a", 32), string(got[0].Value))
			require.Empty(t, got[1].Key)
			require.Equal(t, strings.Repeat("a", 16)+strings.Repeat("b", 16), string(got[1].Value))
		})
	}
}

// change is a copy of a message with a right CRC.
func changedOld(m OldMessage, change func(m OldMessage)) OldMessage {
	m = append(OldMessage(nil), m...)
	change(m)
	binary.BigEndian.PutUint32(m[oldCRCAt:], crc32.ChecksumIEEE(m[magicAt:]))
	return m
}

func TestOldWrappers(t *testing.T) {
	wrapper := oldMessages(t, unhex(t, oldCaptured["v1 snappy"]))[0]
	offsetsAndTimes := func(m OldMessage) (out [][2]int64) {
		require.NoError(t, m.Records(1<<10, func(r OldRecord) error { out = append(out, [2]int64{r.Offset, r.Timestamp}); return nil }))
		return out
	}
	const first, second = 1600000000000, 1600000000005
	moved := changedOld(wrapper, func(m OldMessage) { binary.BigEndian.PutUint64(m, 101) })
	require.Equal(t, [][2]int64{{100, first}, {101, second}}, offsetsAndTimes(moved))
	unset := changedOld(wrapper, func(m OldMessage) { binary.BigEndian.PutUint64(m, 0) })
	require.Equal(t, [][2]int64{{0, first}, {1, second}}, offsetsAndTimes(unset))
	stamped := changedOld(wrapper, func(m OldMessage) {
		m[oldAttributeAt] |= logAppendTimeBit
		binary.BigEndian.PutUint64(m[oldTimestampAt:], 77)
	})
	require.True(t, stamped.LogAppendTime())
	require.Equal(t, [][2]int64{{0, 77}, {1, 77}}, offsetsAndTimes(stamped))

	ignore := func(OldRecord) error { return nil }
	require.ErrorIs(t, wrapper.Records(10, ignore), ErrCorrupt, "a message over the limit")
	require.ErrorIs(t, changedOld(wrapper, func(m OldMessage) { m[magicAt] = 0; m[oldAttributeAt] = 2 }).Records(1<<10, ignore), ErrCorrupt)
	require.ErrorIs(t, changedOld(wrapper, func(m OldMessage) { m[oldAttributeAt] = 4 }).Records(1<<10, ignore), ErrCorrupt, "zstd")
	require.ErrorIs(t, changedOld(wrapper, func(m OldMessage) { m[oldAttributeAt] = 5 }).Records(1<<10, ignore), compress.ErrCorrupt)
	plain := oldMessages(t, unhex(t, oldCaptured["v1"]))[0]
	require.ErrorIs(t, changedOld(plain, func(m OldMessage) { m[oldTimestampAt+8+3] = 200 }).Records(1<<10, ignore), ErrCorrupt)
	require.ErrorIs(t, changedOld(plain, func(m OldMessage) { m[oldTimestampAt+8+3]-- }).Records(1<<10, ignore), ErrCorrupt)
	require.ErrorIs(t, plain[:30].Records(1<<10, ignore), ErrCorrupt)
	require.Equal(t, NoTimestamp, plain[:20].Timestamp())
}

func FuzzOldMessage(f *testing.F) {
	for _, text := range oldCaptured {
		f.Add(unhex(f, text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < OldMessageMin {
			return
		}
		m := OldMessage(data)
		m.Valid()
		m.Timestamp()
		_ = m.Records(1<<16, func(r OldRecord) error {
			require.LessOrEqual(t, len(r.Key)+len(r.Value), max(1<<16, len(data)))
			return nil
		})
	})
}
