//go:build bench

package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// kafkaVersion is the Apache Kafka that ours is measured against.
const kafkaVersion = "2.8.2"

// home is the project's directory.
func home() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	return filepath.Join(dir, "..", "..")
}

// cache is where what is downloaded stays from run to run.
func cache() string {
	if dir := os.Getenv("GREGOR_COMPAT_CACHE"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		panic(err)
	}
	return filepath.Join(dir, "gregor-compat")
}

// jars is the directory with Apache Kafka's jars, fetched by Maven once.
func jars(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(cache(), "kafka-"+kafkaVersion)
	complete := filepath.Join(dir, "complete")
	if _, err := os.Stat(complete); err == nil {
		return filepath.Join(dir, "libs")
	}
	require.NoError(t, os.MkdirAll(dir, 0o755))
	pom := "<project><modelVersion>4.0.0</modelVersion><groupId>gregor</groupId><artifactId>compat</artifactId><version>1</version><packaging>pom</packaging><dependencies>"
	for _, artifact := range []string{"kafka_2.13", "kafka-tools", "kafka-log4j-appender"} {
		pom += fmt.Sprintf("<dependency><groupId>org.apache.kafka</groupId><artifactId>%s</artifactId><version>%s</version></dependency>", artifact, kafkaVersion)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "pom.xml"), []byte(pom+"</dependencies></project>\n"), 0o644))
	output, err := exec.Command("mvn", "-q", "-B", "-f", filepath.Join(dir, "pom.xml"), "dependency:copy-dependencies",
		"-DoutputDirectory="+filepath.Join(dir, "libs"), "-DincludeScope=runtime").CombinedOutput()
	require.NoError(t, err, "Maven: %s", output)
	require.NoError(t, os.WriteFile(complete, nil, 0o644))
	return filepath.Join(dir, "libs")
}

// javaArgs run a class of Apache Kafka as its scripts do, with heap options as
// theirs.
func javaArgs(t testing.TB, heap []string, class string, args ...string) []string {
	t.Helper()
	log4j := filepath.Join(t.TempDir(), "log4j.properties")
	level, target := "WARN", "System.err"
	if class == "kafka.Kafka" {
		level, target = "INFO", "System.out"
	}
	require.NoError(t, os.WriteFile(log4j, []byte("log4j.rootLogger="+level+", out\nlog4j.appender.out=org.apache.log4j.ConsoleAppender\n"+
		"log4j.appender.out.Target="+target+"\nlog4j.appender.out.layout=org.apache.log4j.PatternLayout\n"+
		"log4j.appender.out.layout.ConversionPattern=[%d] %p %m (%c)%n\n"), 0o644))
	all := append(slices.Clone(heap), "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
		"-XX:+ExplicitGCInvokesConcurrent", "-XX:MaxInlineLevel=15", "-Djava.awt.headless=true", "-Dlog4j.configuration=file:"+log4j,
		"-cp", jars(t)+"/*", class)
	return append(all, args...)
}

// process is a server that runs until its test ends.
type process struct {
	t       testing.TB
	cmd     *exec.Cmd
	log     string // path of its output
	started time.Time
	done    chan struct{}
}

// start starts a server whose output goes to a file.
func start(t testing.TB, path string, args []string, env ...string) *process {
	t.Helper()
	p := &process{t: t, log: filepath.Join(t.TempDir(), "output"), done: make(chan struct{})}
	out, err := os.Create(p.log)
	require.NoError(t, err)
	defer out.Close()
	p.cmd = exec.Command(path, args...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env = append(os.Environ(), env...)
	p.started = time.Now()
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // the status is in ProcessState
	}()
	t.Cleanup(p.stop)
	return p
}

// output is everything that the process has printed.
func (p *process) output() string {
	text, err := os.ReadFile(p.log)
	require.NoError(p.t, err)
	return string(text)
}

// alive fails the test when the process has ended.
func (p *process) alive() {
	p.t.Helper()
	select {
	case <-p.done:
		require.Fail(p.t, "a server ended", "%s ended:\n%s", p.cmd.Path, p.output())
	default:
	}
}

// stop ends the process and waits for it.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// cpu is the user and system time that the process has taken.
func (p *process) cpu() time.Duration {
	p.t.Helper()
	p.alive()
	// The CPU clock of another process, as clock_getcpuclockid makes it: the
	// figures of /proc/PID/stat, finer than their hundredths of a second.
	const scheduled = 2
	clock := int32(^p.cmd.Process.Pid)<<3 | scheduled
	var ts unix.Timespec
	require.NoError(p.t, unix.ClockGettime(clock, &ts))
	return time.Duration(ts.Nano())
}

// user is the part of cpu that is not the kernel's.
func (p *process) user() time.Duration {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	require.NoError(p.t, err)
	// The name, which may hold anything, is in brackets; utime is the
	// fourteenth field, in hundredths of a second.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	ticks, err := strconv.Atoi(fields[14-3])
	require.NoError(p.t, err)
	return time.Duration(ticks) * 10 * time.Millisecond
}

// resident is the process's memory in bytes, of files mapped too.
func (p *process) resident() float64 { return p.status("VmRSS:") }

func (p *process) status(field string) float64 {
	p.t.Helper()
	p.alive()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	require.NoError(p.t, err)
	for line := range bytes.Lines(text) {
		if f := strings.Fields(string(line)); len(f) >= 2 && f[0] == field {
			n, err := strconv.ParseFloat(f[1], 64)
			require.NoError(p.t, err)
			return n * 1024
		}
	}
	require.Fail(p.t, "no "+field)
	return 0
}

// finished is what a command took from start to end.
type finished struct {
	wall, cpu time.Duration
	stdout    string
}

// run runs a command to its end.
func run(t testing.TB, stdin io.Reader, stdout io.Writer, path string, args ...string) finished {
	t.Helper()
	var kept, stderr bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, &stderr
	if stdout == nil {
		cmd.Stdout = &kept
	}
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	require.NoError(t, err, "%s %v: %s%s", path, args, &stderr, &kept)
	return finished{took, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), kept.String()}
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// properties writes a file from the project's sample and changes to it.
func properties(t testing.TB, sample string, changes map[string]string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(home(), "config", sample))
	require.NoError(t, err)
	var b bytes.Buffer
	b.Write(text)
	b.WriteByte('\n')
	for _, key := range slices.Sorted(maps.Keys(changes)) {
		fmt.Fprintf(&b, "%s=%s\n", key, changes[key]) // the last one holds
	}
	path := filepath.Join(t.TempDir(), sample)
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
	return path
}

// zooKeeper starts our ZooKeeper and returns its address.
func zooKeeper(t testing.TB) string {
	t.Helper()
	port := freePort(t)
	config := properties(t, "zookeeper.properties", map[string]string{
		"dataDir": t.TempDir(), "clientPort": fmt.Sprint(port), "clientPortAddress": "127.0.0.1"})
	p := start(t, filepath.Join(home(), "bin", "zookeeper-server-start.sh"), []string{config}, "LOG_DIR="+t.TempDir())
	address := fmt.Sprintf("127.0.0.1:%d", port)
	dial(t, p, address).Close()
	return address
}

// dial connects as soon as somebody listens.
func dial(t testing.TB, p *process, address string) *net.TCPConn {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return conn.(*net.TCPConn)
		}
		if p != nil {
			p.alive()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) || time.Now().After(deadline) {
			require.NoError(t, err)
		}
		time.Sleep(200 * time.Microsecond)
	}
}

// side is one of the two brokers.
type side struct {
	*process
	name      string
	zooKeeper string // with chroot
	address   string
	dir       string
}

const (
	ours   = "gregor"
	theirs = "kafka"
)

// broker starts a broker of a side with the sample configuration and changes
// to it, as it is started by its script, and does not wait for it.
func broker(t testing.TB, name, zk, chroot string, changes map[string]string) *side {
	t.Helper()
	s := &side{name: name, zooKeeper: zk + chroot, address: fmt.Sprintf("127.0.0.1:%d", freePort(t)), dir: t.TempDir()}
	all := map[string]string{
		"listeners": "PLAINTEXT://" + s.address, "log.dirs": s.dir, "zookeeper.connect": s.zooKeeper,
		"log.segment.delete.delay.ms": "1000",
	}
	maps.Copy(all, changes)
	config := properties(t, "server.properties", all)
	if name == ours {
		s.process = start(t, filepath.Join(home(), "bin", "kafka-server-start.sh"), []string{config}, "LOG_DIR="+t.TempDir())
	} else {
		s.process = start(t, "java", javaArgs(t, []string{"-Xmx1G", "-Xms1G"}, "kafka.Kafka", config))
	}
	return s
}
