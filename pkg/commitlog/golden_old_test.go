package commitlog

import (
	"bytes"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/compress"
	"gregor/pkg/record"
	"gregor/pkg/vfs"
)

// The directories old0 and old1 under testdata/golden were written by Apache
// Kafka 2.8.2 with message.format.version 0.9.0 and 0.10.2, for the sets that
// oldGoldenSets makes, and left by a clean shutdown.

// oldGoldenSets are sets that a log of the format takes without compressing
// anything itself, of all formats.
func oldGoldenSets(format int8) [][]byte {
	r := rand.New(rand.NewPCG(3, 4))
	var sets [][]byte
	timestamp := baseTime
	for i := range 60 {
		magic, codec := int8(i%3), compress.None
		if format == 1 && magic == 1 {
			codec = compress.Codec(r.IntN(4))
		}
		old := record.NewOldBuilder(magic%2, codec)
		batch := record.NewBuilder(compress.None)
		for j := range 1 + r.IntN(6) {
			timestamp += int64(r.IntN(500) - 100)
			var key []byte
			if r.IntN(2) == 0 {
				key = letters(r, r.IntN(10))
			}
			value := letters(r, r.IntN(400))
			old.Append(int64(j), timestamp, key, value)
			batch.Append(timestamp, key, value)
		}
		set, err := old.Build()
		if magic == record.Magic {
			set, err = batch.Build()
		}
		if err != nil {
			panic(err) // the codecs exist
		}
		sets = append(sets, bytes.Clone(set))
	}
	return sets
}

var oldGolden = map[string]int8{"old0": 0, "old1": 1}

func oldGoldenOptions(o *Options, format int8) {
	o.OldFormat, o.SegmentBytes, o.IndexIntervalBytes = OldFormatOf(format), 6000, 500
}

func TestGoldenOldFormats(t *testing.T) {
	for name, format := range oldGolden {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(vfs.OS)
			cfg.Dir = filepath.Join(t.TempDir(), "t-0")
			oldGoldenOptions(&cfg.Options, format)
			l := openTest(t, cfg)
			require.NoError(t, l.AssignEpochStart(0, 0))
			for _, set := range oldGoldenSets(format) {
				appendTest(t, l, set)
			}
			want := contents(t, l)
			require.NoError(t, l.Flush())
			require.NoError(t, l.Close())
			requireSameFiles(t, filepath.Join("testdata/golden", name), cfg.Dir)

			// What the Java broker left reads the same, also after a crash.
			for _, clean := range []bool{true, false} {
				opened, _ := openGolden(t, name, clean, func(string) bool { return true })
				require.Equal(t, want, contents(t, opened))
			}
			onlyLogs, _ := openGolden(t, name, false, func(name string) bool { return filepath.Ext(name) == logExt })
			require.Equal(t, want, contents(t, onlyLogs))
		})
	}
}
