package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/config"
	"gregor/pkg/logging"
)

// fakeBroker is a Server whose life the test decides.
type fakeBroker struct {
	broker   *config.Broker
	started  chan struct{} // closed by Start
	start    func(ctx context.Context) error
	stop     error
	done     chan struct{}
	stopOnce sync.Once
	stops    int
}

func newFake() *fakeBroker {
	return &fakeBroker{started: make(chan struct{}), done: make(chan struct{}), start: func(context.Context) error { return nil }}
}

func (f *fakeBroker) make(b *config.Broker, _ *logging.Loggers) Server { f.broker = b; return f }

func (f *fakeBroker) Start(ctx context.Context) error {
	close(f.started)
	return f.start(ctx)
}

func (f *fakeBroker) Shutdown(context.Context) error {
	f.stops++
	f.stopOnce.Do(func() { close(f.done) })
	return f.stop
}

func (f *fakeBroker) Done() <-chan struct{} { return f.done }

// kafkaRun is one run of the command, with its output once it has ended.
type kafkaRun struct {
	out, err bytes.Buffer
	status   int
	fake     *fakeBroker
	home     string
	ended    chan struct{}
}

var timestamp = regexp.MustCompile(`(?m)^\[[-0-9: ,]{23}\] `)

func (r *kafkaRun) stdout() string { return timestamp.ReplaceAllString(r.out.String(), "") }

// startKafka runs the command in the background; files are written into its
// home, and $HOME in arguments and environment is replaced by it.
func startKafka(t *testing.T, fake *fakeBroker, env map[string]string, files map[string]string, args ...string) *kafkaRun {
	r := &kafkaRun{fake: fake, home: t.TempDir(), ended: make(chan struct{})}
	for name, text := range files {
		path := filepath.Join(r.home, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "$HOME", r.home)
	}
	getenv := func(name string) string { return strings.ReplaceAll(env[name], "$HOME", r.home) }
	e := &Env{Stdin: strings.NewReader(""), Stdout: &r.out, Stderr: &r.err, Getenv: getenv, Program: "bin/kafka-server-start.sh", Home: r.home}
	go func() {
		defer close(r.ended)
		r.status = NewKafkaServerCommand(fake.make)(t.Context(), e, args)
	}()
	return r
}

func runKafka(t *testing.T, files map[string]string, args ...string) *kafkaRun {
	fake := newFake()
	fake.start = func(context.Context) error { return errors.New("the test wants no broker") }
	r := startKafka(t, fake, nil, files, args...)
	<-r.ended
	return r
}

const minimal = "zookeeper.connect=localhost:2181\nbroker.id=7\n"

const registered = "INFO Registered kafka:type=kafka.Log4jController MBean (kafka.utils.Log4jControllerRegistration$)\n"

func TestKafkaUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"--help"}, {"x.properties", "--help"}} {
		r := runKafka(t, nil, args...)
		require.Equal(t, 1, r.status)
		require.Equal(t, registered, r.stdout())
		require.True(t, strings.HasPrefix(r.err.String(), "USAGE: java [options] kafka.Kafka server.properties [--override property=value]*\n"), r.err.String())
		require.Contains(t, r.err.String(), "--override <String>")
	}
	r := runKafka(t, nil, "none.properties", "--version")
	require.Zero(t, r.status)
	require.Equal(t, registered+"2.8.2 (Commit:3146c6ff4a24cc24)\n", r.stdout())

	r = runKafka(t, map[string]string{"s.properties": minimal}, "$HOME/s.properties", "a", "b")
	require.Equal(t, 1, r.status)
	require.True(t, strings.HasPrefix(r.err.String(), "Found non argument parameters: a,b\n"), r.err.String())
}

func TestKafkaFatal(t *testing.T) {
	for name, row := range map[string]struct {
		text string
		args []string
		want string // behind the first two lines' beginning
	}{
		"value": {"broker.id=0\n" + minimal + "log.retention.hours = 7days\n", nil,
			"org.apache.kafka.common.config.ConfigException: Invalid value 7days for configuration log.retention.hours: Not a number of type INT\n" +
				"ERROR $HOME/s.properties:4: log.retention.hours=7days cannot be used, allowed is a whole number, such as 168 (kafka.server.KafkaConfig)\n"},
		"override": {minimal, []string{"--override", "num.partitions=3", "--override", "num.partitions=0"},
			"org.apache.kafka.common.config.ConfigException: Invalid value 0 for configuration num.partitions: Value must be at least 1\n" +
				"ERROR --override: num.partitions=0 cannot be used, allowed is a whole number of at least 1, such as 1 (kafka.server.KafkaConfig)\n"},
		"override without value": {minimal, []string{"--override", "num.partitions"},
			"org.apache.kafka.common.config.ConfigException: Invalid value  for configuration num.partitions: Not a number of type INT\n" +
				"ERROR --override: num.partitions= cannot be used, allowed is a whole number of at least 1, such as 1 (kafka.server.KafkaConfig)\n"},
		"zookeeper.connect": {"broker.id=1\n", nil,
			"org.apache.kafka.common.config.ConfigException: Missing required configuration `zookeeper.connect` which has no default value.\n" +
				"ERROR $HOME/s.properties: add a line such as zookeeper.connect=localhost:2181 (kafka.server.KafkaConfig)\n"},
		"strict": {minimal + "log.rentention.hours=5\nnum.io.threads=1\nbrokerid=1\n", []string{"--strict-config"},
			"org.apache.kafka.common.config.ConfigException: $HOME/s.properties:3: log.rentention.hours is not a known setting and is ignored; did you mean log.retention.hours?; " +
				"$HOME/s.properties:5: brokerid is ignored: renamed in 0.8.0 to broker.id\n"},
		"option":   {minimal, []string{"--foo"}, "joptsimple.UnrecognizedOptionException: foo is not a recognized option\n"},
		"argument": {minimal, []string{"--override"}, "joptsimple.OptionMissingRequiredArgumentException: Option override requires an argument\n"},
		"escape": {"zookeeper.connect=\\u12\n", nil, "java.lang.IllegalArgumentException: Malformed \\uxxxx encoding.\n" +
			"ERROR $HOME/s.properties:1: \\u needs four hexadecimal digits behind it (kafka.server.KafkaConfig)\n"},
	} {
		t.Run(name, func(t *testing.T) {
			r := runKafka(t, map[string]string{"s.properties": row.text}, append([]string{"$HOME/s.properties"}, row.args...)...)
			require.Equal(t, 1, r.status)
			require.Equal(t, registered+"ERROR Exiting Kafka due to fatal exception (kafka.Kafka$)\n"+strings.ReplaceAll(row.want, "$HOME", r.home), r.stdout())
		})
	}
	r := runKafka(t, nil, "config/none.properties")
	require.Contains(t, r.stdout(), "fatal exception (kafka.Kafka$)\njava.nio.file.NoSuchFileException: config/none.properties\n")
	r = runKafka(t, nil, "$HOME")
	require.Contains(t, r.stdout(), "java.io.IOException: Is a directory\n")
}

func TestKafkaWarnings(t *testing.T) {
	r := runKafka(t, map[string]string{"s.properties": minimal + "log.rentention.hours=5\nnum.io.threads=16\nproducer.acks=1\nreplica.lag.max.messages=4000\n"}, "$HOME/s.properties")
	require.Equal(t, strings.ReplaceAll(registered+`INFO Registered signal handlers for TERM, INT, HUP (org.apache.kafka.common.utils.LoggingSignalHandler)
WARN $HOME/s.properties:3: log.rentention.hours is not a known setting and is ignored; did you mean log.retention.hours? (kafka.server.KafkaConfig)
WARN $HOME/s.properties:4: num.io.threads=16 has no effect: there are no such threads, queues or sweeps here: each connection is served by itself (kafka.server.KafkaConfig)
WARN $HOME/s.properties:6: replica.lag.max.messages is ignored: removed in 0.9.0, only replica.lag.time.max.ms decides who is in sync (kafka.server.KafkaConfig)
ERROR Exiting Kafka. (kafka.Kafka$)
`, "$HOME", r.home), r.stdout())
	require.Equal(t, 1, r.status)
}

func TestKafkaOverride(t *testing.T) {
	r := runKafka(t, map[string]string{"s.properties": minimal}, "$HOME/s.properties", "--override", "broker.id=9", "--override", "broker.rack=a=b")
	require.EqualValues(t, 9, r.fake.broker.BrokerID())
	require.Equal(t, "a=b", r.fake.broker.String("broker.rack"))
}

// sendSelf signals this process; the command under test has a handler.
func sendSelf(t *testing.T, sig syscall.Signal) { require.NoError(t, syscall.Kill(os.Getpid(), sig)) }

func TestKafkaSignals(t *testing.T) {
	for sig, row := range map[syscall.Signal]struct {
		name   string
		status int
	}{syscall.SIGTERM: {"SIGTERM", 143}, syscall.SIGINT: {"SIGINT", 130}, syscall.SIGHUP: {"SIGHUP", 129}} {
		t.Run(row.name, func(t *testing.T) {
			fake := newFake()
			r := startKafka(t, fake, nil, map[string]string{"s.properties": minimal}, "$HOME/s.properties")
			<-fake.started
			sendSelf(t, sig)
			<-r.ended
			require.Equal(t, row.status, r.status)
			require.Equal(t, 1, fake.stops)
			require.Contains(t, r.stdout(), "INFO Terminating process due to signal "+row.name+" (org.apache.kafka.common.utils.LoggingSignalHandler)\n")
		})
	}
}

func TestKafkaSignalWhileStarting(t *testing.T) {
	fake := newFake()
	fake.start = func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	r := startKafka(t, fake, nil, map[string]string{"s.properties": minimal}, "$HOME/s.properties")
	<-fake.started
	sendSelf(t, syscall.SIGTERM)
	<-r.ended
	require.Equal(t, 143, r.status)
	require.Zero(t, fake.stops)
}

func TestKafkaEndsByItself(t *testing.T) {
	fake := newFake()
	close(fake.done)
	r := startKafka(t, fake, nil, map[string]string{"s.properties": minimal}, "$HOME/s.properties")
	<-r.ended
	require.Equal(t, 1, r.status)
}

func TestKafkaHalts(t *testing.T) {
	fake := newFake()
	fake.stop = errors.New("disk full")
	r := startKafka(t, fake, nil, map[string]string{"s.properties": minimal}, "$HOME/s.properties")
	<-fake.started
	sendSelf(t, syscall.SIGTERM)
	<-r.ended
	require.Equal(t, 1, r.status)
	require.Contains(t, r.stdout(), "ERROR Halting Kafka. (kafka.Kafka$)\ndisk full\n")
}

func TestServerEnvironment(t *testing.T) {
	was := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(was) })
	fake := newFake()
	fake.start = func(context.Context) error { return errors.New("no") }
	env := map[string]string{
		"KAFKA_HEAP_OPTS":  "-Xms64M -Xmx64M",
		"KAFKA_OPTS":       "-Djava.security.auth.login.config=/etc/jaas.conf -Xss1m -Dfoo=bar -javaagent:/opt/jmx.jar=7071:c.yml",
		"JMX_PORT":         "9999",
		"LOG_DIR":          "$HOME/my-logs",
		"KAFKA_LOG4J_OPTS": "-Dlog4j.configuration=file:$HOME/etc/log.properties -Dmy.level=INFO",
	}
	files := map[string]string{"s.properties": minimal, "etc/log.properties": "log4j.rootLogger=${my.level}, o, f\n" +
		"log4j.appender.o=org.apache.log4j.ConsoleAppender\nlog4j.appender.o.layout=org.apache.log4j.SimpleLayout\n" +
		"log4j.appender.f=org.apache.log4j.FileAppender\nlog4j.appender.f.File=${kafka.logs.dir}/server.log\nlog4j.appender.f.layout=org.apache.log4j.SimpleLayout\n"}
	r := startKafka(t, fake, env, files, "$HOME/s.properties")
	<-r.ended
	require.Equal(t, `INFO - Registered kafka:type=kafka.Log4jController MBean
INFO - Registered signal handlers for TERM, INT, HUP
INFO - Memory limit is 64 MB, from -Xmx64M of KAFKA_HEAP_OPTS
INFO - JMX_PORT=9999 is ignored: JMX is how a Java virtual machine is asked, and there is none here
WARN - -Djava.security.auth.login.config=/etc/jaas.conf of KAFKA_OPTS has no effect: SASL and TLS are not implemented yet
WARN - -javaagent:/opt/jmx.jar=7071:c.yml of KAFKA_OPTS has no effect: agents are for a Java virtual machine
ERROR - Exiting Kafka.
`, r.out.String())
	file, err := os.ReadFile(filepath.Join(r.home, "my-logs/server.log"))
	require.NoError(t, err)
	require.Equal(t, r.out.String(), string(file))
	require.EqualValues(t, 64<<20, debug.SetMemoryLimit(-1))
}

func TestServerLoggersWithoutFile(t *testing.T) {
	fake := newFake()
	fake.start = func(context.Context) error { return errors.New("no") }
	r := startKafka(t, fake, map[string]string{"KAFKA_LOG4J_OPTS": "-Dlog4j.configuration=file:///none/log4j.properties"}, map[string]string{"s.properties": minimal}, "$HOME/s.properties")
	<-r.ended
	require.Contains(t, r.err.String(), "log4j:ERROR /none/log4j.properties: open /none/log4j.properties")
	require.Contains(t, r.stdout(), registered)
}

func TestCgroupLimit(t *testing.T) {
	for name, row := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"none":        {nil, 0},
		"version 2":   {map[string]string{"memory.max": "536870912\n"}, 512 << 20},
		"unlimited":   {map[string]string{"memory.max": "max\n"}, 0},
		"version 1":   {map[string]string{"memory/memory.limit_in_bytes": "1073741824\n"}, 1 << 30},
		"v1 no limit": {map[string]string{"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		"own group":   {map[string]string{"memory.max": "max\n", "self": "0::/a/b\n", "a/b/memory.max": "1048576\n"}, 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for file, text := range row.files {
				path := filepath.Join(root, file)
				require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
				require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
			}
			require.Equal(t, row.want, cgroupLimit(root, filepath.Join(root, "self")))
		})
	}
}
