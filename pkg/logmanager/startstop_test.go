package logmanager

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/vfs"
)

// A directory gets the mark of a clean shutdown back in the form that the
// broker before left it in; after a crash in the form of our reference.
func TestTheCleanMarkKeepsItsForm(t *testing.T) {
	for _, c := range []struct{ name, found, want string }{
		{"empty, as up to 3.6", "", ""},
		{"JSON, as of 3.7", `{"version":0,"brokerEpoch":-1}`, `{"version":0,"brokerEpoch":-1}`},
		{"JSON of a quorum's broker", `{"version":0,"brokerEpoch":1234}`, `{"version":0,"brokerEpoch":-1}`},
		{"neither", "clean", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := vfs.NewMem()
			require.NoError(t, fs.MkdirAll("/a", 0o755))
			require.NoError(t, vfs.WriteFile(fs, "/a/.kafka_cleanshutdown", []byte(c.found)))
			m := startManager(t, Options{Dirs: []string{"/a"}, FS: fs})
			require.False(t, vfs.Exists(fs, "/a/.kafka_cleanshutdown"))
			require.NoError(t, m.Shutdown())
			text, err := vfs.ReadFile(fs, "/a/.kafka_cleanshutdown", 1000)
			require.NoError(t, err)
			require.Equal(t, c.want, string(text))
		})
	}
}

// captured keeps what is logged.
func captured() (*logging.Loggers, func() string) {
	var mu sync.Mutex
	var text bytes.Buffer
	write := func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return text.Write(p)
	}
	return logging.New(writerFunc(write)), func() string {
		mu.Lock()
		defer mu.Unlock()
		return text.String()
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestProgressLines(t *testing.T) {
	p := &progress{}
	require.Empty(t, p.line(time.Second), "nothing is known yet")
	p.total.Store(2000)
	require.Equal(t, "loading 0/2000 logs, 0 %", p.line(time.Second))
	p.unclean.Store(true)
	p.done.Store(312)
	p.recovered.Store(1_200_000_000)
	require.Equal(t, "recovering 312/2000 logs, 15 %, 1200 MB checked, about 11 s left", p.line(2*time.Second))
	p.done.Store(2000)
	require.Equal(t, "recovering 2000/2000 logs, 100 %, 1200 MB checked", p.line(2*time.Second))
}

// A start that lasts says each second how far it is.
func TestALongStartTellsOfItsProgress(t *testing.T) {
	fs := vfs.NewMem()
	m := startManager(t, Options{Dirs: []string{"/a"}, FS: fs})
	for p := range int32(3) {
		l, err := m.GetOrCreate(model.TopicPartition{Topic: "t", Partition: p}, true, model.TopicID{})
		require.NoError(t, err)
		appendOne(t, l, "x")
	}
	killed := fs.Clone()
	loggers, text := captured()
	told := make(chan struct{})
	slow := vfs.Faulty(killed, func(op vfs.Op, name string) error {
		if op == vfs.OpReadDir && name == "/a/t-1" {
			for deadline := time.Now().Add(10 * time.Second); !bytes.Contains([]byte(text()), []byte("recovering 1/3 logs")) && time.Now().Before(deadline); {
				time.Sleep(5 * time.Millisecond)
			}
			select {
			case <-told:
			default:
				close(told)
			}
		}
		return nil
	})
	again, err := New(Options{Dirs: []string{"/a"}, FS: slow, Loggers: loggers})
	require.NoError(t, err)
	require.NoError(t, again.Load(context.Background(), defaultOptions))
	<-told
	require.Regexp(t, `recovering 1/3 logs, 33 %, 0 MB checked, about \d+ s left`, text())
	require.Contains(t, text(), "Loaded 3 logs in ")
	require.NoError(t, again.Shutdown())
}

func TestNearlyFullDisksAreTold(t *testing.T) {
	loggers, text := captured()
	free := uint64(20)
	m := startManager(t, Options{Dirs: []string{"/a", "/b"}, FS: vfs.NewMem(), Loggers: loggers, DiskSpace: func(dir string) (uint64, uint64, error) {
		if dir == "/b" {
			return 0, 0, fmt.Errorf("no answer")
		}
		return 100e9, free * 1e9, nil
	}})
	for p := range int32(10) {
		topic := fmt.Sprintf("topic-%d", p/2)
		l, err := m.GetOrCreate(model.TopicPartition{Topic: topic, Partition: p}, true, model.TopicID{})
		require.NoError(t, err)
		for range p {
			appendOne(t, l, string(make([]byte, 500000)))
		}
	}
	count := func() int { return bytes.Count([]byte(text()), []byte("The disk of log directory")) }
	now := time.Now()
	m.warnOfFullDisks(now)
	require.Zero(t, count(), "80 %")
	free = 9
	m.warnOfFullDisks(now)
	require.Equal(t, 1, count())
	require.Contains(t, text(), "WARN The disk of log directory /a is 91 % full, 9000 MB are left. The largest topics in it: topic-4 with 4 MB (retention.ms=604800000, retention.bytes=-1), topic-3 with 3 MB (")
	require.NotContains(t, text(), "topic-1 with")
	m.warnOfFullDisks(now.Add(time.Minute))
	require.Equal(t, 1, count(), "once an hour")
	m.warnOfFullDisks(now.Add(time.Hour))
	require.Equal(t, 2, count())
	free = 30
	m.warnOfFullDisks(now.Add(time.Hour))
	free = 5
	m.warnOfFullDisks(now.Add(time.Hour + time.Minute))
	require.Equal(t, 3, count(), "again when it was better meanwhile")
}

// What a refused start found clean is clean still, with and without the logs
// that it has opened.
func TestARefusedStartGivesTheCleanMarkBack(t *testing.T) {
	fs := vfs.NewMem()
	m := startManager(t, Options{Dirs: []string{"/a", "/b"}, FS: fs})
	for p := range int32(4) {
		l, err := m.GetOrCreate(model.TopicPartition{Topic: "t", Partition: p}, true, model.TopicID{})
		require.NoError(t, err)
		appendOne(t, l, "x")
	}
	require.NoError(t, m.Shutdown())
	for _, c := range []struct{ name, path, text, class, want string }{
		{"a foreign directory", "/a/foreign/x", "", "org.apache.kafka.common.KafkaException", "Found directory /a/foreign, 'foreign' is not in the form of"},
		{"epochs that cannot be read", "/a/t-0/leader-epoch-checkpoint", "0\n5\n0 0\n", "org.apache.kafka.common.errors.KafkaStorageException", "Error while reading checkpoint file /a/t-0/leader-epoch-checkpoint"},
		{"a topic id of another version", "/a/t-0/partition.metadata", "version: 1\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ", "org.apache.kafka.common.errors.KafkaStorageException", "Error while reading partition metadata file /a/t-0/partition.metadata"},
		{"no topic id", "/a/t-0/partition.metadata", "version: 0\ntopic_id: ?", "java.lang.IllegalArgumentException", `"?" in /a/t-0/partition.metadata is no topic id`},
		{"a segment without a number", "/a/t-0/abc.log", "", "java.lang.NumberFormatException", `For input string: "abc"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			copied := fs.Clone()
			require.NoError(t, copied.MkdirAll(filepath.Dir(c.path), 0o755))
			require.NoError(t, vfs.WriteFile(copied, c.path, []byte(c.text)))
			loggers, text := captured()
			m, err := load(Options{Dirs: []string{"/a", "/b"}, FS: copied, Loggers: loggers})
			var classed interface{ JavaClass() string }
			require.ErrorAs(t, err, &classed)
			require.Equal(t, c.class, classed.JavaClass())
			require.ErrorContains(t, err, c.want)
			require.NoError(t, m.Shutdown())
			for _, dir := range []string{"/a", "/b"} {
				require.True(t, vfs.Exists(copied, dir+"/.kafka_cleanshutdown"), text())
			}
			if strings.HasSuffix(c.class, "StorageException") {
				require.Contains(t, text(), "ERROR "+c.want+"\njava.io.IOException: ")
			}
			require.NoError(t, copied.RemoveAll(c.path))
			if filepath.Dir(c.path) == "/a/foreign" {
				require.NoError(t, copied.RemoveAll("/a/foreign"))
			}
			m, err = load(Options{Dirs: []string{"/a", "/b"}, FS: copied})
			require.NoError(t, err)
			require.Len(t, m.Logs(), 4)
			for _, l := range m.Logs() {
				require.EqualValues(t, 1, l.LogEndOffset())
			}
			require.NoError(t, m.Shutdown())
		})
	}
}

// Properties of newer brokers stay, and do not make directories differ.
func TestMetaPropertiesOfNewerBrokers(t *testing.T) {
	fs := vfs.NewMem()
	for _, dir := range []string{"/a", "/b"} {
		require.NoError(t, fs.MkdirAll(dir, 0o755))
		require.NoError(t, vfs.WriteFile(fs, dir+"/meta.properties", []byte("#\n#date\ncluster.id=x\ndirectory.id=id-of-"+dir[1:]+"\nversion=0\nbroker.id=3\n")))
	}
	md, _, _, err := ReadBrokerMetadata(fs, []string{"/a", "/b"})
	require.NoError(t, err)
	require.Equal(t, BrokerMetadata{BrokerID: 3, ClusterID: "x"}, *md)
	require.NoError(t, WriteBrokerMetadata(fs, []string{"/a"}, *md))
	text, err := vfs.ReadFile(fs, "/a/meta.properties", 1000)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(text), "#\n#date\n"), "nothing to change")
	require.NoError(t, WriteBrokerMetadata(fs, []string{"/b"}, BrokerMetadata{BrokerID: 4, ClusterID: "x"}))
	text, err = vfs.ReadFile(fs, "/b/meta.properties", 1000)
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(string(text), "\nbroker.id=4\nversion=0\ncluster.id=x\ndirectory.id=id-of-b\n"), "%s", text)
	_, _, _, err = ReadBrokerMetadata(fs, []string{"/a", "/b"})
	requireFatal(t, err, "kafka.common.InconsistentBrokerMetadataException", "- /a -> {broker.id=3, directory.id=id-of-a, version=0, cluster.id=x}\n")
	require.NoError(t, vfs.WriteFile(fs, "/a/meta.properties", []byte("cluster.id=\\u12")))
	_, _, _, err = ReadBrokerMetadata(fs, []string{"/a"})
	requireFatal(t, err, "java.lang.IllegalArgumentException", `Malformed \uxxxx encoding.`)
}
