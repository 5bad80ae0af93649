package cli

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/logging"
	"gregor/pkg/zookeeper/server"
)

// zkFile writes a properties file and returns its path.
func zkFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "zookeeper.properties")
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644))
	return path
}

func TestZooKeeperConfigErrors(t *testing.T) {
	for name, row := range map[string]struct {
		lines []string
		want  string
	}{
		"no dataDir":       {[]string{"clientPort=2181"}, "java.lang.IllegalArgumentException: dataDir is not set"},
		"no clientPort":    {[]string{"dataDir=/d"}, "clientPort is not set"},
		"address only":     {[]string{"dataDir=/d", "clientPortAddress=localhost"}, "clientPortAddress is set but clientPort is not set"},
		"not a number":     {[]string{"dataDir=/d", "", "clientPort=abc"}, "java.lang.NumberFormatException: For input string: \"abc\"\n%s:3: clientPort=abc: a whole number is needed"},
		"7days":            {[]string{"dataDir=/d", "clientPort=1", "tickTime= 7days "}, "For input string: \"7days\""},
		"empty number":     {[]string{"dataDir=/d", "clientPort="}, "For input string: \"\""},
		"system number":    {[]string{"dataDir=/d", "clientPort=1", "snapCount=many"}, "For input string: \"many\""},
		"port range":       {[]string{"dataDir=/d", "clientPort=70000"}, "port out of range:70000"},
		"tick":             {[]string{"dataDir=/d", "clientPort=1", "tickTime=0"}, "tickTime is not set"},
		"session timeouts": {[]string{"dataDir=/d", "clientPort=1", "minSessionTimeout=70000"}, "minSessionTimeout must not be larger than maxSessionTimeout"},
		"quorum":           {[]string{"dataDir=/d", "clientPort=1", "server.1=a:2888:3888", "server.2=b:2888:3888"}, "2 server.N lines describe an ensemble"},
		"TLS":              {[]string{"dataDir=/d", "clientPort=1", "secureClientPort=2182"}, "secureClientPort=2182 asks for TLS"},
		"buffer":           {[]string{"dataDir=/d", "clientPort=1", "jute.maxbuffer=4MB"}, "jute.maxbuffer must be a number of bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			path := zkFile(t, row.lines...)
			stdout, stderr, status := invoke("", "zookeeper-server-start", path)
			require.Equal(t, zkInvalidConfig, status)
			require.Equal(t, "Invalid config, exiting abnormally\n", stderr)
			want := row.want
			if strings.Contains(want, "%s") {
				want = fmt.Sprintf(want, path)
			}
			require.Contains(t, stdout, "ERROR Invalid config, exiting abnormally (org.apache.zookeeper.server.quorum.QuorumPeerMain)\n"+
				"org.apache.zookeeper.server.quorum.QuorumPeerConfig$ConfigException: Error processing "+path+"\nCaused by: ")
			require.Contains(t, stdout, want)
		})
	}
}

func TestZooKeeperArguments(t *testing.T) {
	const usage = "Usage: ZooKeeperServerMain configfile | port datadir [ticktime] [maxcnxns]\n"
	for _, args := range [][]string{nil, {"1", "2", "3", "4", "5"}, {"port", "dir"}} {
		stdout, stderr, status := invoke("", append([]string{"zookeeper-server-start"}, args...)...)
		require.Equal(t, zkInvalidConfig, status)
		require.Equal(t, usage, stderr)
		require.Contains(t, stdout, "ERROR Invalid arguments, exiting abnormally (org.apache.zookeeper.server.ZooKeeperServerMain)")
	}
	stdout, _, status := invoke("", "zookeeper-server-start", "missing.properties")
	require.Equal(t, zkInvalidConfig, status)
	require.Contains(t, stdout, "WARN missing.properties is relative. Prepend ./ to indicate that you're sure!")
	require.Contains(t, stdout, "Caused by: java.lang.IllegalArgumentException: missing.properties file is missing\n")

	cfg, err := parseArguments([]string{"2181", "/d", "2000", "5"})
	require.NoError(t, err)
	require.Equal(t, server.Config{ClientPort: 2181, DataDir: "/d", TickTime: 2 * time.Second, MaxClientCnxns: 5}, cfg)
}

func TestZooKeeperSettings(t *testing.T) {
	path := zkFile(t, "# what Kafka ships, and more", "dataDir = /tmp/zookeeper", "clientPort : 2181", "maxClientCnxns=0", "admin.enableServer=false", "server.1=localhost:1:2",
		"dataLogDir=/logs", "tickTime=2000", "minSessionTimeout=1000", "autopurge.purgeInterval=2", "autopurge.snapRetainCount=5",
		"snapCount=10", "preAllocSize=64", "forceSync=no", "skipACL=yes", "4lw.commands.whitelist=ruok, stat", "snapSizeLimitInKb=0", "some.unknown.key=x")
	system := systemProperties("-Xmx1g -Dzookeeper.DigestAuthenticationProvider.superDigest=super:x= -Djute.maxbuffer=0x400000 -Dzookeeper.snapCount=99 -javaagent:a.jar")
	cfg, err := parseZooKeeper(path, system, logging.Discard().Logger("x"))
	require.NoError(t, err)
	require.Equal(t, server.Config{DataDir: "/tmp/zookeeper", DataLogDir: "/logs", ClientPort: 2181, TickTime: 2 * time.Second, MinSessionTimeout: time.Second,
		PurgeInterval: 2 * time.Hour, PurgeRetain: 5, SnapCount: 10, PreAllocSize: 64 << 10, NoForceSync: true, SkipACL: true, SnapSizeLimit: -1,
		FourLetterWords: []string{"ruok", "stat"}, SuperDigest: "super:x=", JuteMaxBuffer: 4 << 20}, cfg)
}

func TestJavaSizes(t *testing.T) {
	for text, want := range map[string]int64{"512M": 512 << 20, "1g": 1 << 30, "64k": 64 << 10, "1048576": 1 << 20, "": 0, "g": 0, "-1m": 0, "9999999t": 0, "1x": 0} {
		got, ok := parseJavaSize(text)
		require.Equal(t, want > 0, ok, text)
		require.Equal(t, want, got, text)
	}
}

// output is what a running command writes.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// The lines of a first start, in order, and the status of a stop.
func TestZooKeeperStartsAndStops(t *testing.T) {
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := probe.Addr().(*net.TCPAddr).Port
	require.NoError(t, probe.Close())
	dir := filepath.Join(t.TempDir(), "zookeeper")
	path := zkFile(t, "dataDir="+dir, fmt.Sprintf("clientPort=%d", port), "clientPortAddress=127.0.0.1", "maxClientCnxns=0")

	var stdout, stderr output
	env := &Env{Stdout: &stdout, Stderr: &stderr, Getenv: func(string) string { return "" }}
	status := make(chan int, 1)
	go func() { status <- zookeeperServerStart(context.Background(), env, []string{path}) }()
	deadline := time.Now().Add(10 * time.Second)
	for !strings.Contains(stdout.String(), "Snapshotting") {
		require.True(t, time.Now().Before(deadline), stdout.String()+stderr.String())
		time.Sleep(time.Millisecond)
	}
	second, _, code := invoke("", "zookeeper-server-start", path)
	require.Equal(t, zkDataDir, code)
	require.Contains(t, second, "another ZooKeeper server is running on "+dir)
	other := zkFile(t, "dataDir="+dir+"2", fmt.Sprintf("clientPort=%d", port), "clientPortAddress=127.0.0.1")
	third, _, code := invoke("", "zookeeper-server-start", other)
	require.Equal(t, zkUnexpected, code)
	require.Contains(t, third, "java.net.BindException: Address already in use\n")

	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
	require.Equal(t, 128+15, <-status)
	require.Empty(t, stderr.String())
	text := stdout.String()
	for _, line := range []string{
		"INFO Reading configuration from: " + path + " (org.apache.zookeeper.server.quorum.QuorumPeerConfig)",
		fmt.Sprintf("INFO clientPortAddress is 127.0.0.1:%d (org.apache.zookeeper.server.quorum.QuorumPeerConfig)", port),
		"INFO secureClientPort is not set (org.apache.zookeeper.server.quorum.QuorumPeerConfig)",
		"INFO autopurge.snapRetainCount set to 3 (org.apache.zookeeper.server.DatadirCleanupManager)",
		"INFO autopurge.purgeInterval set to 0 (org.apache.zookeeper.server.DatadirCleanupManager)",
		"INFO Purge task is not scheduled. (org.apache.zookeeper.server.DatadirCleanupManager)",
		"WARN Either no config or no quorum defined in config, running  in standalone mode (org.apache.zookeeper.server.quorum.QuorumPeerMain)",
		"INFO Reading configuration from: " + path,
		"INFO Starting server (org.apache.zookeeper.server.ZooKeeperServerMain)",
		"INFO zookeeper.snapshot.trust.empty : false (org.apache.zookeeper.server.persistence.FileTxnSnapLog)",
		"INFO Server environment:zookeeper.version=",
		"INFO minSessionTimeout set to 6000 (org.apache.zookeeper.server.ZooKeeperServer)",
		"INFO maxSessionTimeout set to 60000 (org.apache.zookeeper.server.ZooKeeperServer)",
		fmt.Sprintf("INFO Created server with tickTime 3000 minSessionTimeout 6000 maxSessionTimeout 60000 datadir %[1]s/version-2 snapdir %[1]s/version-2 (org.apache.zookeeper.server.ZooKeeperServer)", dir),
		fmt.Sprintf("INFO binding to port /127.0.0.1:%d (org.apache.zookeeper.server.NIOServerCnxnFactory)", port),
		fmt.Sprintf("INFO Snapshotting: 0x0 to %s/version-2/snapshot.0 (org.apache.zookeeper.server.persistence.FileTxnSnapLog)", dir),
	} {
		_, rest, found := strings.Cut(text, line)
		require.True(t, found, "%q is not behind the lines before it in\n%s", line, stdout.String())
		text = rest
	}
	require.Regexp(t, regexp.MustCompile(`^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\] INFO `), stdout.String())
}
