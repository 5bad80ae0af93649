//go:build compat

package compat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The versions of Apache Kafka that are run; each brings its ZooKeeper.
const (
	gregor  = kind("gregor")
	kafka28 = kind("2.8.2") // our reference, ZooKeeper 3.5.9
	kafka39 = kind("3.9.1") // our ceiling, ZooKeeper 3.8.4
)

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

// result is what a finished command left.
type result struct {
	Stdout, Stderr string
	Status         int
}

// command describes a process to run.
type command struct {
	Path  string
	Args  []string
	Stdin string
	Env   []string
	Dir   string
	Limit time.Duration // two minutes when 0
}

// run runs a command to its end.
func run(t testing.TB, c command) result {
	t.Helper()
	if c.Limit == 0 {
		c.Limit = 2 * time.Minute
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.Limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Path, c.Args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.Stdin), &stdout, &stderr
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Dir = c.Dir
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err, "%s %v", c.Path, c.Args)
	}
	require.NoError(t, ctx.Err(), "%s %v did not end\nstdout: %s\nstderr: %s", c.Path, c.Args, &stdout, &stderr)
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// script runs one of our scripts in bin/, as a user does.
func script(t testing.TB, stdin, name string, args ...string) result {
	t.Helper()
	return run(t, command{Path: filepath.Join(home(), "bin", name), Args: args, Stdin: stdin})
}

// jars is the directory with Apache Kafka's jars, fetched by Maven once.
func jars(t testing.TB, version kind) string {
	t.Helper()
	jarsMu.Lock()
	defer jarsMu.Unlock()
	dir := filepath.Join(cache(), "kafka-"+string(version))
	complete := filepath.Join(dir, "complete")
	if _, err := os.Stat(complete); err == nil {
		return filepath.Join(dir, "libs")
	}
	require.NoError(t, os.MkdirAll(dir, 0o755))
	var pom strings.Builder
	pom.WriteString("<project><modelVersion>4.0.0</modelVersion><groupId>gregor</groupId><artifactId>compat</artifactId><version>1</version><packaging>pom</packaging><dependencies>")
	for _, artifact := range []string{"kafka_2.13", "kafka-tools", "kafka-log4j-appender"} {
		fmt.Fprintf(&pom, "<dependency><groupId>org.apache.kafka</groupId><artifactId>%s</artifactId><version>%s</version></dependency>", artifact, version)
	}
	pom.WriteString("</dependencies></project>\n")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "pom.xml"), []byte(pom.String()), 0o644))
	got := run(t, command{Path: "mvn", Args: []string{"-q", "-B", "-f", filepath.Join(dir, "pom.xml"), "dependency:copy-dependencies",
		"-DoutputDirectory=" + filepath.Join(dir, "libs"), "-DincludeScope=runtime"}, Limit: 10 * time.Minute})
	require.Zero(t, got.Status, "Maven: %s%s", got.Stdout, got.Stderr)
	require.NoError(t, os.WriteFile(complete, nil, 0o644))
	return filepath.Join(dir, "libs")
}

var jarsMu sync.Mutex

// log4j writes a log4j configuration that prints from level on to a stream.
func log4j(t testing.TB, level, target string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log4j.properties")
	text := "log4j.rootLogger=" + level + ", out\nlog4j.appender.out=org.apache.log4j.ConsoleAppender\nlog4j.appender.out.Target=" + target +
		"\nlog4j.appender.out.layout=org.apache.log4j.PatternLayout\nlog4j.appender.out.layout.ConversionPattern=[%d] %p %m (%c)%n\n"
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

func javaArgs(t testing.TB, version kind, heap, log4j, class string, args []string) []string {
	t.Helper()
	return append([]string{"-Xmx" + heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j.configuration=file:" + log4j, "-cp", jars(t, version) + "/*", class}, args...)
}

// java runs a class of Apache Kafka to its end.
func java(t testing.TB, version kind, stdin, class string, args ...string) result {
	t.Helper()
	return run(t, command{Path: "java", Args: javaArgs(t, version, "256m", log4j(t, "WARN", "System.err"), class, args), Stdin: stdin})
}

// process is a server that runs until its test ends.
type process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	log  string // path of its output
	done chan struct{}
}

// start starts a server whose output goes to a file.
func start(t testing.TB, name string, c command) *process {
	t.Helper()
	p := &process{t: t, name: name, log: filepath.Join(t.TempDir(), name+".log"), done: make(chan struct{})}
	out, err := os.Create(p.log)
	require.NoError(t, err)
	p.cmd = exec.Command(c.Path, c.Args...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env = append(os.Environ(), c.Env...)
	p.cmd.Dir = c.Dir
	require.NoError(t, p.cmd.Start())
	out.Close()
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // the status is in ProcessState
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s: last lines of its output:\n%s", name, p.tail())
		}
	})
	return p
}

// tail is the end of the process's output.
func (p *process) tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-6000):])
}

// output is everything that the process has printed.
func (p *process) output() string {
	text, err := os.ReadFile(p.log)
	require.NoError(p.t, err)
	return string(text)
}

// await waits until the output shows a text.
func (p *process) await(text string) {
	p.t.Helper()
	eventually(p.t, time.Minute, p.name+" prints "+text, func() bool {
		select {
		case <-p.done:
			if !strings.Contains(p.output(), text) {
				require.Fail(p.t, "ended early", "%s ended before it printed %q:\n%s", p.name, text, p.tail())
			}
		default:
		}
		return strings.Contains(p.output(), text)
	})
}

// stop sends TERM and waits for the end; it returns the status as a shell
// shows it.
func (p *process) stop() int { return p.end(syscall.SIGTERM) }

// kill is kill -9.
func (p *process) kill() int { return p.end(syscall.SIGKILL) }

func (p *process) end(signal syscall.Signal) int {
	_ = p.cmd.Process.Signal(signal) // it may have ended already
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		_ = p.cmd.Process.Kill()
		<-p.done
		p.t.Errorf("%s did not end within a minute of %s", p.name, signal)
	}
	status := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// server is a running broker or ZooKeeper with the place it keeps its data.
type server struct {
	*process
	Address string // 127.0.0.1:port
	Dir     string
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// properties writes a properties file from defaults and changes to them.
func properties(t testing.TB, path string, defaults, changes map[string]string) {
	t.Helper()
	all := maps.Clone(defaults)
	maps.Copy(all, changes)
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "%s=%s\n", key, all[key])
	}
	require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o644))
}

// kind says whose server is to be started: "gregor", or a version of Apache
// Kafka.
type kind string

// zooKeeper starts a ZooKeeper. A port of 0 takes a free one; dir keeps the
// data from one start to the next.
func zooKeeper(t testing.TB, k kind, dir string, port int) *server {
	t.Helper()
	if port == 0 {
		port = freePort(t)
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	config := filepath.Join(t.TempDir(), "zookeeper.properties")
	properties(t, config, map[string]string{"dataDir": dir, "clientPort": fmt.Sprint(port), "clientPortAddress": "127.0.0.1",
		"maxClientCnxns": "0", "admin.enableServer": "false", "4lw.commands.whitelist": "*"}, nil)
	var p *process
	if k == gregor {
		p = start(t, "zookeeper", command{Path: filepath.Join(home(), "bin", "zookeeper-server-start.sh"), Args: []string{config},
			Env: []string{"LOG_DIR=" + t.TempDir()}})
	} else {
		p = start(t, "zookeeper-"+string(k), command{Path: "java", Args: javaArgs(t, k, "256m", log4j(t, "INFO", "System.out"),
			"org.apache.zookeeper.server.quorum.QuorumPeerMain", []string{config})})
	}
	p.await("binding to port")
	eventually(t, time.Minute, "ZooKeeper serves", func() bool { return strings.HasPrefix(fourLetters(address, "srvr"), "Zookeeper version") })
	return &server{p, address, dir}
}

// fourLetters asks a ZooKeeper a four-letter word.
func fourLetters(address, word string) string {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return ""
	}
	defer conn.Close()
	if conn.SetDeadline(time.Now().Add(5*time.Second)) != nil {
		return ""
	}
	if _, err := io.WriteString(conn, word); err != nil {
		return ""
	}
	answer, _ := io.ReadAll(conn) // what came before an error is what there is
	return string(answer)
}

// broker starts a broker with one listener on a free port, or on the port
// that changes["listeners"] names.
func broker(t testing.TB, k kind, id int, zk, dir string, changes map[string]string) *server {
	t.Helper()
	listeners, ok := changes["listeners"]
	if !ok {
		listeners = fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", freePort(t))
	}
	config := filepath.Join(t.TempDir(), "server.properties")
	properties(t, config, map[string]string{
		"broker.id": fmt.Sprint(id), "listeners": listeners, "log.dirs": dir, "zookeeper.connect": zk,
		"zookeeper.connection.timeout.ms": "18000", "zookeeper.session.timeout.ms": "6000",
		"offsets.topic.replication.factor": "1", "transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1",
		"group.initial.rebalance.delay.ms": "0",
	}, changes)
	var p *process
	if k == gregor {
		p = start(t, fmt.Sprintf("broker-%d", id), command{Path: filepath.Join(home(), "bin", "kafka-server-start.sh"), Args: []string{config},
			Env: []string{"LOG_DIR=" + t.TempDir()}})
	} else {
		p = start(t, fmt.Sprintf("broker-%d-%s", id, k), command{Path: "java", Args: javaArgs(t, k, "512m", log4j(t, "INFO", "System.out"),
			"kafka.Kafka", []string{config})})
	}
	p.await("started (kafka.server.KafkaServer)")
	return &server{p, strings.TrimPrefix(listeners, "PLAINTEXT://"), dir}
}

// eventually waits for a condition.
func eventually(t testing.TB, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !cond(); {
		if time.Now().After(deadline) {
			require.Fail(t, "waited in vain", "%s: not within %s", what, limit)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
