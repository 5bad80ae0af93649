package logging

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
)

var at = time.Date(2020, 4, 18, 10, 26, 27, 945e6, time.Local)

func TestLayout(t *testing.T) {
	var out bytes.Buffer
	l := New(&out)
	l.Logger("kafka.server.KafkaServer").WithTime(at).Info("[KafkaServer id=1005] started")
	l.Logger("kafka.admin.TopicCommand$").WithTime(at).Warnf("%d\n", 7)
	l.Logger("kafka.Kafka$").WithTime(at).WithError(javaError{}).Error("Exiting Kafka due to fatal exception")
	l.Logger("x").WithTime(at).WithError(fmt.Errorf("read: %w", io.EOF)).WithField("topic", "t").Error("bad")
	require.Equal(t, "[2020-04-18 10:26:27,945] INFO [KafkaServer id=1005] started (kafka.server.KafkaServer)\n"+
		"[2020-04-18 10:26:27,945] WARN 7\n (kafka.admin.TopicCommand$)\n"+
		"[2020-04-18 10:26:27,945] ERROR Exiting Kafka due to fatal exception (kafka.Kafka$)\njava.lang.IllegalStateException: no\n"+
		"[2020-04-18 10:26:27,945] ERROR bad (x)\nread: EOF\n", out.String())
}

type javaError struct{}

func (javaError) Error() string     { return "no" }
func (javaError) JavaClass() string { return "java.lang.IllegalStateException" }

func TestPatterns(t *testing.T) {
	for _, row := range []struct{ pattern, want string }{
		{"%m%n", "hello\n"},
		{"%p - %m%n", "WARN - hello\n"},
		{"%d{ISO8601} %-5p|%5p|", "2020-04-18 10:26:27,945 WARN | WARN|"},
		{"%d{HH:mm:ss} %d{ABSOLUTE}", "10:26:27 10:26:27,945"},
		{"%d{yyyy/MM/dd'T'HH.mm} %c{1} %c{2} %c", "2020/04/18T10.26 LogManager log.LogManager kafka.log.LogManager"},
		{"%.3c|%15.10c|", "ger|     LogManager|"},
		{"100%% %y %", "100% %y %"},
		{"[%t] %L", "[main] ?"},
		{"%X{id}%x", ""},
		{"%-", "%-"},
	} {
		t.Run(row.pattern, func(t *testing.T) {
			var b bytes.Buffer
			e := logrus.NewEntry(logrus.New()).WithTime(at)
			e.Level, e.Message = logrus.WarnLevel, "hello"
			parsePattern(row.pattern).format(&b, "kafka.log.LogManager", e)
			require.Equal(t, row.want, b.String())
		})
	}
}

func TestLevels(t *testing.T) {
	var out bytes.Buffer
	l := New(&out)
	log := l.Logger("kafka.server.KafkaServer")
	require.False(t, log.Logger.IsLevelEnabled(logrus.DebugLevel))

	require.NoError(t, l.SetLevel("kafka", "debug"))
	require.True(t, log.Logger.IsLevelEnabled(logrus.DebugLevel))
	require.NoError(t, l.SetLevel("kafka.server.KafkaServer", "WARN"))
	require.False(t, log.Logger.IsLevelEnabled(logrus.InfoLevel))
	require.True(t, l.Logger("kafka.log.Log").Logger.IsLevelEnabled(logrus.DebugLevel))
	require.Equal(t, map[string]string{"root": "INFO", "kafka": "DEBUG", "kafka.server.KafkaServer": "WARN", "kafka.log.Log": "DEBUG"}, l.Levels())

	l.UnsetLevel("kafka.server.KafkaServer")
	require.Equal(t, "DEBUG", l.Levels()["kafka.server.KafkaServer"])
	l.UnsetLevel(Root)
	require.Equal(t, "INFO", l.Levels()[Root])
	require.NoError(t, l.SetLevel(Root, "OFF"))
	l.UnsetLevel("kafka")
	log.Error("nobody sees this")
	require.Empty(t, out.String())

	require.Error(t, l.SetLevel("kafka", "loud"))
	require.Error(t, l.SetLevel("kafka", "INHERITED"))
	require.True(t, l.Exists("kafka"))
	require.True(t, l.Exists(Root))
	require.False(t, l.Exists("kafka.nothing"))
}

func TestKafkasFile(t *testing.T) {
	dir := t.TempDir()
	text, err := os.ReadFile("../../config/log4j.properties")
	require.NoError(t, err)
	var stdout bytes.Buffer
	l, complaints, err := Load(text, Options{Stdout: &stdout, Stderr: io.Discard, System: map[string]string{"kafka.logs.dir": dir}})
	require.NoError(t, err)
	require.Empty(t, complaints)
	t.Cleanup(func() { require.NoError(t, l.Close()) })

	l.Logger("kafka.server.KafkaServer").WithTime(at).Info("server")
	l.Logger("kafka.controller.KafkaController").WithTime(at).Trace("controller")
	l.Logger("state.change.logger").WithTime(at).Info("state")
	l.Logger("state.change.logger").WithTime(at).Debug("nothing")
	l.Logger("kafka.log.LogCleaner").WithTime(at).Info("cleaner")
	l.Logger("kafka.request.logger").WithTime(at).Info("nothing")
	l.Logger("kafka.authorizer.logger").WithTime(at).Info("denied")

	require.Equal(t, "[2020-04-18 10:26:27,945] INFO server (kafka.server.KafkaServer)\n", stdout.String())
	for file, want := range map[string]string{
		"server.log":           "INFO server (kafka.server.KafkaServer)",
		"controller.log":       "TRACE controller (kafka.controller.KafkaController)",
		"state-change.log":     "INFO state (state.change.logger)",
		"kafka-authorizer.log": "INFO denied (kafka.authorizer.logger)",
		"log-cleaner.log":      "INFO cleaner (kafka.log.LogCleaner)",
		"kafka-request.log":    "",
	} {
		got, err := os.ReadFile(filepath.Join(dir, file))
		require.NoError(t, err)
		if want != "" {
			want = "[2020-04-18 10:26:27,945] " + want + "\n"
		}
		require.Equal(t, want, string(got), file)
	}
}

func TestToolsFile(t *testing.T) {
	text, err := os.ReadFile("../../config/tools-log4j.properties")
	require.NoError(t, err)
	var stdout, stderr bytes.Buffer
	l, complaints, err := Load(text, Options{Stdout: &stdout, Stderr: &stderr})
	require.NoError(t, err)
	require.Empty(t, complaints)
	l.Logger("x").WithTime(at).Info("nothing")
	l.Logger("x").WithTime(at).Warn("careful")
	require.Empty(t, stdout.String())
	require.Equal(t, "[2020-04-18 10:26:27,945] WARN careful (x)\n", stderr.String())

	var plain bytes.Buffer
	tools := Tools(&plain)
	tools.Logger("x").Info("nothing")
	tools.Logger("x").WithTime(at).Warn("careful")
	require.Equal(t, stderr.String(), plain.String())
}

func TestHourlyRolling(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "server.log")
	require.NoError(t, os.WriteFile(path, nil, 0o644))
	require.NoError(t, os.Chtimes(path, at, at))
	l := dated(t, dir, "")
	log := l.Logger("x")
	for hour := range 14 {
		log.WithTime(at.Add(time.Duration(hour)*time.Hour)).Infof("hour %d", hour)
		log.WithTime(at.Add(time.Duration(hour)*time.Hour+time.Second)).Infof("again %d", hour)
	}
	names := list(t, dir)
	require.Len(t, names, DefaultKeep+1)
	require.Equal(t, "server.log", names[0])
	require.Equal(t, "server.log.2020-04-18-13", names[1])
	require.Equal(t, "server.log.2020-04-18-22", names[DefaultKeep])
	got, err := os.ReadFile(filepath.Join(dir, "server.log.2020-04-18-22"))
	require.NoError(t, err)
	require.Equal(t, "hour 12\nagain 12\n", string(got))
}

func TestRollingAtStart(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "server.log")
	require.NoError(t, os.WriteFile(path, []byte("yesterday\n"), 0o644))
	require.NoError(t, os.Chtimes(path, at, at))
	require.NoError(t, os.WriteFile(path+".notes", nil, 0o644))
	l := dated(t, dir, "1")
	l.Logger("x").WithTime(at.Add(time.Minute)).Info("same hour")
	require.Equal(t, []string{"server.log", "server.log.notes"}, list(t, dir))
	l.Logger("x").WithTime(at.Add(24 * time.Hour)).Info("a day later")
	l.Logger("x").WithTime(at.Add(48 * time.Hour)).Info("two days later")
	require.Equal(t, []string{"server.log", "server.log.2020-04-19-10", "server.log.notes"}, list(t, dir))
}

// TestTwoProcessesRollOneFile has two writers of the same file, as ZooKeeper
// and a broker are: neither loses a line when the hour ends.
func TestTwoProcessesRollOneFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "server.log")
	require.NoError(t, os.WriteFile(path, nil, 0o644))
	require.NoError(t, os.Chtimes(path, at, at))
	one, two := dated(t, dir, ""), dated(t, dir, "")
	for hour := range 3 {
		time := at.Add(time.Duration(hour) * time.Hour)
		one.Logger("x").WithTime(time).Infof("one %d", hour)
		two.Logger("x").WithTime(time).Infof("two %d", hour)
	}
	var all strings.Builder
	for _, name := range []string{"server.log.2020-04-18-10", "server.log.2020-04-18-11", "server.log"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		all.Write(text)
	}
	require.Equal(t, "one 0\ntwo 0\none 1\ntwo 1\none 2\ntwo 2\n", all.String())
}

func dated(t *testing.T, dir, keep string) *Loggers {
	text := "log4j.rootLogger=INFO, f\nlog4j.appender.f=org.apache.log4j.DailyRollingFileAppender\n" +
		"log4j.appender.f.DatePattern='.'yyyy-MM-dd-HH\nlog4j.appender.f.File=${dir}/server.log\n" +
		"log4j.appender.f.layout=org.apache.log4j.PatternLayout\nlog4j.appender.f.layout.ConversionPattern=%m%n\n"
	if keep != "" {
		text += "log4j.appender.f.MaxBackupIndex=" + keep + "\n"
	}
	l, complaints, err := Load([]byte(text), Options{System: map[string]string{"dir": dir}})
	require.NoError(t, err)
	require.Empty(t, complaints)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func list(t *testing.T, dir string) []string {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestSizeRolling(t *testing.T) {
	dir := t.TempDir()
	l, complaints, err := Load([]byte("log4j.rootLogger=INFO, f\nlog4j.appender.f=org.apache.log4j.RollingFileAppender\n"+
		"log4j.appender.f.File=${dir}/a.log\nlog4j.appender.f.MaxFileSize=20\nlog4j.appender.f.MaxBackupIndex=2\n"+
		"log4j.appender.f.layout=org.apache.log4j.PatternLayout\nlog4j.appender.f.layout.ConversionPattern=%m%n\n"),
		Options{System: map[string]string{"dir": dir}})
	require.NoError(t, err)
	require.Empty(t, complaints)
	defer l.Close()
	for i := range 8 {
		l.Logger("x").Infof("line %03d", i) // nine bytes with its end
	}
	require.Equal(t, []string{"a.log", "a.log.1", "a.log.2"}, list(t, dir))
	for name, want := range map[string]string{"a.log": "line 006\nline 007\n", "a.log.1": "line 004\nline 005\n", "a.log.2": "line 002\nline 003\n"} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
}

func TestComplaints(t *testing.T) {
	for name, row := range map[string]struct{ text, want string }{
		"no class":       {"log4j.rootLogger=INFO, a", "log4j.appender.a is missing"},
		"unknown class":  {"log4j.rootLogger=INFO, a\nlog4j.appender.a=org.apache.log4j.net.SMTPAppender", "is not known here"},
		"level":          {"log4j.logger.kafka=LOUD", "is not a level"},
		"file":           {"log4j.rootLogger=INFO, a\nlog4j.appender.a=org.apache.log4j.FileAppender\nlog4j.appender.a.File=/dev/null/x", "not a directory"},
		"no file":        {"log4j.rootLogger=INFO, a\nlog4j.appender.a=org.apache.log4j.FileAppender", "File is missing"},
		"size":           {"log4j.rootLogger=INFO, a\nlog4j.appender.a=org.apache.log4j.RollingFileAppender\nlog4j.appender.a.File=/tmp/x\nlog4j.appender.a.MaxFileSize=big", "not a file size"},
		"threshold":      {"log4j.rootLogger=INFO, a\nlog4j.appender.a=org.apache.log4j.ConsoleAppender\nlog4j.appender.a.Threshold=x", "not a level"},
		"MaxBackupIndex": {"log4j.rootLogger=INFO, a\nlog4j.appender.a=org.apache.log4j.RollingFileAppender\nlog4j.appender.a.File=/tmp/x\nlog4j.appender.a.MaxBackupIndex=-1", "not a MaxBackupIndex"},
	} {
		t.Run(name, func(t *testing.T) {
			l, complaints, err := Load([]byte(row.text), Options{Stdout: io.Discard, Stderr: io.Discard})
			require.NoError(t, err)
			require.Len(t, complaints, 1)
			require.Contains(t, complaints[0], row.want)
			l.Logger("kafka").Error("goes on")
		})
	}
	_, _, err := LoadFile(filepath.Join(t.TempDir(), "none"), Options{})
	require.True(t, errors.Is(err, os.ErrNotExist))
}

func TestThresholdAndTarget(t *testing.T) {
	var stdout, stderr bytes.Buffer
	l, complaints, err := Load([]byte("log4j.rootLogger=TRACE, o, e\nlog4j.appender.o=org.apache.log4j.ConsoleAppender\nlog4j.appender.o.threshold=INFO\nlog4j.appender.o.layout=org.apache.log4j.SimpleLayout\n"+
		"log4j.appender.e=org.apache.log4j.ConsoleAppender\nlog4j.appender.e.Target=System.err\nlog4j.appender.e.Threshold=ERROR\nlog4j.appender.e.layout=org.apache.log4j.SimpleLayout\n"), Options{Stdout: &stdout, Stderr: &stderr})
	require.NoError(t, err)
	require.Empty(t, complaints)
	l.Logger("a").Debug("1")
	l.Logger("a").Info("2")
	l.Logger("a").Error("3")
	require.Equal(t, "INFO - 2\nERROR - 3\n", stdout.String())
	require.Equal(t, "ERROR - 3\n", stderr.String())
}

func TestALineThatIsOffCostsNothing(t *testing.T) {
	log := New(io.Discard).Logger("kafka.request.logger")
	require.Zero(t, testing.AllocsPerRun(100, func() { log.Debug("x") }))
}

func TestConcurrentUse(t *testing.T) {
	var out lockedBuffer
	l := New(&out)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				l.Logger(fmt.Sprintf("a.b%d", i%3)).Info("line")
				if j%50 == 0 {
					require.NoError(t, l.SetLevel("a", "INFO"))
					l.Levels()
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, 1600, strings.Count(out.String(), "INFO line (a.b"))
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func FuzzLoad(f *testing.F) {
	for _, name := range []string{"log4j", "tools-log4j"} {
		text, err := os.ReadFile("../../config/" + name + ".properties")
		require.NoError(f, err)
		f.Add(string(text))
	}
	f.Add("log4j.rootLogger=${a}, c\na=${a}\nlog4j.appender.c=org.apache.log4j.ConsoleAppender\nlog4j.appender.c.layout=org.apache.log4j.PatternLayout\nlog4j.appender.c.layout.ConversionPattern=%9999.9999c%-%d{'")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "FileAppender") {
			return // must not write files all over the machine
		}
		l, _, err := Load([]byte(text), Options{Stdout: io.Discard, Stderr: io.Discard})
		if err != nil {
			return
		}
		l.Logger("kafka.server.KafkaServer").Error("line")
	})
}
