package logmanager

import (
	"bytes"
	"context"
	"fmt"
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
