package logmanager

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/commitlog"
	"gregor/pkg/model"
	"gregor/pkg/record"
	"gregor/pkg/vfs"
)

// The directories under testdata/brokers are whole log directories that Apache
// Kafka 2.4.1, 2.8.2 and 3.9.1 left after a shutdown in order: topic t in
// format 2 with every codec, idempotent producers, two committed transactions,
// an aborted and an open one; f0 and f1 in the formats of 0.9 and 0.10.

func brokerOptions(topic string) commitlog.Options {
	o := commitlog.DefaultOptions()
	o.SegmentBytes, o.IndexIntervalBytes, o.SegmentIndexBytes, o.RetentionMs = 3000, 300, 4096, -1
	o.ProducerIDExpirationMs = 1 << 60
	switch topic {
	case "f0":
		o.OldFormat = commitlog.OldFormatOf(0)
	case "f1":
		o.OldFormat = commitlog.OldFormatOf(1)
	case "__transaction_state":
		o.SegmentBytes, o.IndexIntervalBytes, o.SegmentIndexBytes = 100<<20, 4096, 10<<20
		o.Delete, o.Compact = false, true
	}
	return o
}

// values reads the values of a log's records, of whatever format.
func values(t *testing.T, l *commitlog.Log, iso commitlog.Isolation) (all []string, aborted int) {
	t.Helper()
	seen := map[commitlog.AbortedTxn]bool{}
	end := l.LogEndOffset()
	if iso == commitlog.TxnCommitted {
		end = l.LastStableOffset()
	}
	for offset := l.LogStartOffset(); offset < end; {
		info, err := l.Read(offset, 1<<20, iso, true)
		require.NoError(t, err)
		require.Positive(t, info.Records.Length, "nothing at %d of %s", offset, l)
		for _, a := range info.Aborted {
			seen[a] = true
		}
		data := make([]byte, info.Records.Length)
		_, err = info.Records.File.ReadAt(data, info.Records.Position)
		require.NoError(t, err)
		info.Records.Release()
		next := offset
		for len(data) > 0 {
			batch, rest, err := record.SplitAny(data)
			require.NoError(t, err)
			require.True(t, batch.Valid())
			require.NoError(t, batch.Visit(1<<20, func(r *record.Record) error {
				all = append(all, string(r.Value))
				next = r.Offset + 1
				return nil
			}))
			if b := record.Batch(batch); b[16] == record.Magic {
				next = b.NextOffset()
				if b.Control() {
					all = all[:len(all)-1]
				}
			}
			data = rest
		}
		require.Greater(t, next, offset)
		offset = next
	}
	return all, len(seen)
}

func TestDirectoriesOfOtherBrokers(t *testing.T) {
	for _, version := range []string{"2.4.1", "2.8.2", "3.9.1"} {
		for _, clean := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, clean %v", version, clean), func(t *testing.T) {
				from := filepath.Join("testdata/brokers", version)
				dir := filepath.Join(t.TempDir(), "logs")
				require.NoError(t, os.CopyFS(dir, os.DirFS(from)))
				if !clean {
					require.NoError(t, os.Remove(filepath.Join(dir, cleanShutdownFile)))
				}
				requireOthersLogs(t, dir, version)
				for name, text := range contentsOf(t, from) {
					if !clean && name == cleanShutdownFile {
						text = "" // whose it was is not known any more
					}
					got, err := os.ReadFile(filepath.Join(dir, name))
					require.NoError(t, err)
					require.Equal(t, text, sorted(name, string(got)), name)
				}
				require.Len(t, contentsOf(t, dir), len(contentsOf(t, from)), "nothing more and nothing less")
			})
		}
	}
}

// requireOthersLogs opens, reads and closes what another broker wrote.
func requireOthersLogs(t *testing.T, dir, version string) {
	t.Helper()
	m, err := New(Options{Dirs: []string{dir}})
	require.NoError(t, err)
	require.NoError(t, m.Lock())
	require.NoError(t, m.Load(context.Background(), brokerOptions))
	md, _, _, err := ReadBrokerMetadata(vfs.OS, []string{dir})
	require.NoError(t, err)
	require.Zero(t, md.BrokerID)
	topics := map[string]int{"t": 116}
	if version != "3.9.1" {
		topics["f0"], topics["f1"] = 100, 100
	}
	require.Len(t, m.Logs(), len(topics)+1)
	for topic, records := range topics {
		l := m.Get(model.TopicPartition{Topic: topic})
		l.SetHighWatermark(l.LogEndOffset())
		all, _ := values(t, l, commitlog.LogEnd)
		require.Len(t, all, records, topic)
		for i := range 100 {
			require.True(t, strings.HasPrefix(all[i], topic+" value "), "%d of %s: %q", i, topic, all[i])
		}
	}
	l := m.Get(model.TopicPartition{Topic: "t"})
	require.EqualValues(t, 119, l.LogEndOffset())
	stable := int64(115)
	if version == "2.4.1" {
		stable = 112 // it wrote the markers after the last transaction had begun
	}
	require.Equal(t, stable, l.LastStableOffset(), "a transaction is open")
	require.Equal(t, version == "3.9.1", !l.TopicID().IsZero(), "partition.metadata")
	committed, aborted := values(t, l, commitlog.TxnCommitted)
	require.Len(t, committed, 112)
	require.Equal(t, 1, aborted)
	require.NoError(t, m.Shutdown())
}

// contentsOf reads all files that the log's own.
func contentsOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == ".lock" {
			return err
		}
		name, err := filepath.Rel(dir, path)
		require.NoError(t, err)
		text, err := os.ReadFile(path)
		found[name] = sorted(name, string(text))
		return err
	}))
	return found
}

// sorted orders the lines of a checkpoint, which are a hash table's in Java.
func sorted(name, text string) string {
	if !strings.HasSuffix(name, "checkpoint") {
		return text
	}
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
