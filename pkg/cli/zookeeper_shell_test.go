package cli

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"

	"gregor/pkg/zookeeper/server"
)

var updateShell = flag.Bool("update-zookeeper-shell", false, "rewrite testdata/zookeeper_shell.txt")

func shellServer(t *testing.T) string {
	t.Helper()
	s, err := server.Start(context.Background(), server.Config{
		DataDir: t.TempDir(), ClientPortAddress: "127.0.0.1", TickTime: 2 * time.Second, NoForceSync: true,
	})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s.Addr()
}

// shellScript is run line by line against one server: command lines as after
// the address, or, after a "<", input for a shell without a command.
var shellScript = []string{
	"help", "foo", "create /a hello", "create /a hello", "create /a/b", `create /a/c ""`, "create /x/y 1", "create -s /a/s- 1", "create -e /e 1",
	"create -c -e /cont 1", "create -t 5 -e /ttl", "create -t x /ttl", "create a 1", "create /a/ 1", "create", "create /acl d world:anyone:r", "create /acl2 d world:anyone",
	"create /acl3 d bogus:x:r", "create /two d world:anyone:cd,ip:127.0.0.1:rwa", "getAcl /two",
	"ls /", "ls -s /a", "ls -R /a", "ls -R /", "ls -sR /a", "ls -R /nope", "ls -w /a", "ls /a watch", "ls", "ls -z /a", "ls /nope", "ls nope", "ls /a//b", "ls -- /a",
	"ls2 /e", "ls2 /nope", "ls2", "get /a", "get -s /a", "get -w /a", "get /a watch", "get /a/b", "get /a/c", "get", "get /nope", "get -q /a", `get ""`,
	"set /a new", "set -s /a new2", "set -v 77 /a new3", "set /a new3 77", "set -v abc /a x", "set -v", "set /a", "set /nope 1",
	"stat /a", "stat /nope", "stat /a watch", "stat", "getAcl -s /a", "getAcl /nope", "getAcl",
	"setAcl -s /two world:anyone:cdrwa", "setAcl -v 9 /two world:anyone:cdrwa", "setAcl /a bad", "setAcl /nope world:anyone:r", "setAcl -R /a world:anyone:cdrwa", "setAcl /a",
	"setAcl /two world:anyone:zr", "addauth digest u:p", "addauth", "sync /", "sync zz", "sync",
	"delete /a", "delete -v 9 /a/b", "delete /a/b 9", "delete /a/b", "delete /", "delete",
	"create /e/child 1", "config", "rmr", "rmr /nope", "rmr /a", "deleteall /x", "deleteall",
	"setquota -n 5 /two", "setquota -b 5 /two", "listquota /two", "delquota -n /two", "listquota /two", "delquota /two", "delquota /two", "listquota /two",
	"setquota /two", "setquota -n 5 /none", "setquota -n x /two",
	"history", "redo 0", "redo", "printwatches", "printwatches on", "close", "quit", "connect",
	"-timeout 5000 ls /", "-r ls /", "-zk-tls-config-file f ls /", "-timeout x ls /", "-timeout",
	"< help\\nls /nope\\n", "< ls /\\n\\nls   /zookeeper\\ncreate /i 'a b c'\\nget /i\\ncreate /j \"q r\"\\nget /j\\nhistory\\nredo 1\\nredo 99\\nredo -1\\nquit\\n",
	"< ls /nope\\nquit\\n", "< redo 0\\nls /nope\\nredo 1\\nredo x\\nls /\\n",
	"< get -w /i\\nset /i 1\\nls -w /\\ncreate /k\\nprintwatches off\\nprintwatches\\nget -w /i\\nset /i 2\\nprintwatches on\\nstat -w /l\\ncreate /l x\\nquit\\n",
	"< close\\nls /\\nclose\\nconnect ADDR\\nget /l\\nconnect\\nget /l\\nquit\\n", "<", "< 'ls' /l\\n  get   /l  ",
	"< addauth digest u:p\\ncreate /sec x auth::cdrwa\\ngetAcl /sec\\nget /sec\\nquit\\n", "get /sec", "ls /sec", "set /sec y",
}

const connected = "\nWATCHER::\n\nWatchedEvent state:SyncConnected type:None path:null\n"

var volatileStat = regexp.MustCompile(`(?m)^(.*)(cZxid|mZxid|pZxid|ctime|mtime|ephemeralOwner) = .*$`)

func TestZooKeeperShellConversation(t *testing.T) {
	addr := shellServer(t)
	var got strings.Builder
	for _, line := range shellScript {
		var stdin string
		args := []string{"zookeeper-shell", addr}
		if input, ok := strings.CutPrefix(line, "<"); ok {
			stdin = strings.ReplaceAll(strings.TrimPrefix(input, " "), `\n`, "\n")
			stdin = strings.ReplaceAll(stdin, "ADDR", addr)
		} else {
			for _, word := range strings.Fields(line) {
				args = append(args, strings.Trim(word, `"`))
			}
		}
		stdout, stderr, status := invoke(stdin, args...)
		fmt.Fprintf(&got, "$ %s\n%s", line, stdout)
		for _, said := range strings.SplitAfter(stderr, "\n") {
			if said != "" {
				got.WriteString("2> " + said)
			}
		}
		fmt.Fprintf(&got, "(exit %d)\n\n", status)
	}
	text := strings.ReplaceAll(got.String(), addr, "ADDR")
	text = volatileStat.ReplaceAllString(text, "$1$2 = …")
	// A command that needs no answer may or may not be faster than the
	// connection.
	text = strings.ReplaceAll(text, connected, "")
	golden := filepath.Join("testdata", "zookeeper_shell.txt")
	if *updateShell {
		require.NoError(t, os.WriteFile(golden, []byte(text), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), text)
}

// The whole output of the two ways to use the shell that books show.
func TestZooKeeperShellTranscripts(t *testing.T) {
	addr := shellServer(t)
	stdout, stderr, status := invoke("", "zookeeper-shell", addr, "ls", "/")
	require.Equal(t, "Connecting to "+addr+"\n"+connected+"[zookeeper]\n", stdout)
	require.Empty(t, stderr)
	require.Zero(t, status)
	stdout, stderr, status = invoke("ls /zookeeper\nget /zookeeper\nquit\n", "zookeeper-shell", addr)
	require.Equal(t, "Connecting to "+addr+"\nWelcome to ZooKeeper!\nJLine support is disabled\n"+connected+
		"[config, quota]\n\n\nWATCHER::\n\nWatchedEvent state:Closed type:None path:null\n", stdout)
	require.Empty(t, stderr)
	require.Zero(t, status)
	_, stderr, status = invoke("", "zookeeper-shell", addr, "deleteall", "/")
	require.Equal(t, "Invalid path string \"//zookeeper\" caused by empty node name specified @1\n", stderr)
	require.Equal(t, 1, status)
}

func TestZooKeeperShellUsage(t *testing.T) {
	stdout, stderr, status := invoke("", "zookeeper-shell")
	require.Equal(t, "USAGE: bin/zookeeper-shell.sh zookeeper_host:port[/path] [-zk-tls-config-file file] [args...]\n", stdout)
	require.Empty(t, stderr)
	require.Equal(t, 1, status)
	_, stderr, status = invoke("", "zookeeper-shell", "localhost:none", "ls", "/")
	require.Contains(t, stderr, "is not a port")
	require.Equal(t, 1, status)
}

func TestZooKeeperShellStatIsJavas(t *testing.T) {
	addr := shellServer(t)
	invoke("", "zookeeper-shell", addr, "create", "/a", "xyz")
	stdout, _, status := invoke("", "zookeeper-shell", addr, "stat", "/a")
	require.Zero(t, status)
	date := `[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d \S+ \d{4}`
	require.Regexp(t, `\ncZxid = 0x[0-9a-f]+\nctime = `+date+`\nmZxid = 0x[0-9a-f]+\nmtime = `+date+`\npZxid = 0x[0-9a-f]+\n`+
		`cversion = 0\ndataVersion = 0\naclVersion = 0\nephemeralOwner = 0x0\ndataLength = 3\nnumChildren = 0\n$`, stdout)
}

func TestZooKeeperShellWithoutAServer(t *testing.T) {
	stdout, stderr, status := invoke("", "zookeeper-shell", "127.0.0.1:1", "ls", "/")
	require.Equal(t, "Connecting to 127.0.0.1:1\n", stdout)
	require.Equal(t, "KeeperErrorCode = ConnectionLoss for /\n", stderr)
	require.Equal(t, 1, status)
	_, stderr, status = invoke("", "zookeeper-shell", "127.0.0.1:1,127.0.0.1:2/chroot", "get", "/a")
	require.Equal(t, "org.apache.zookeeper.KeeperException$ConnectionLossException: KeeperErrorCode = ConnectionLoss for /a\n", stderr)
	require.Equal(t, 1, status)
	stdout, _, status = invoke("quit\n", "zookeeper-shell", "127.0.0.1:1")
	require.Equal(t, "Connecting to 127.0.0.1:1\nWelcome to ZooKeeper!\nJLine support is disabled\n\nWATCHER::\n\nWatchedEvent state:Closed type:None path:null\n", stdout)
	require.Zero(t, status)
}

func TestZooKeeperShellChroot(t *testing.T) {
	addr := shellServer(t)
	stdout, _, status := invoke("", "zookeeper-shell", addr+"/zookeeper", "ls", "/")
	require.Zero(t, status)
	require.Contains(t, stdout, "Connecting to "+addr+"/zookeeper\n")
	require.Contains(t, stdout, "[config, quota]\n")
	_, stderr, status := invoke("", "zookeeper-shell", addr+"/none", "create", "/k", "1")
	require.Equal(t, "Node does not exist: /k\n", stderr)
	require.Equal(t, 1, status)
}

func TestSplitWords(t *testing.T) {
	for line, want := range map[string][]string{
		"ls /": {"ls", "/"}, "  ls   /a  ": {"ls", "/a"}, `create /a 'x y'`: {"create", "/a", "x y"}, `create /a "x 'y"`: {"create", "/a", "x 'y"},
		`set /a ""`: {"set", "/a", ""}, "": nil, "   ": nil, `a"b c"`: {`a"b`, `c"`}, `'it''s'`: {"it", "s"}, `create /q a\ b`: {"create", "/q", `a\`, "b"},
	} {
		require.Equal(t, want, splitWords(line), line)
	}
}

func FuzzShellLine(f *testing.F) {
	for _, line := range shellScript {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, text string) {
		words := splitWords(text)
		if len(words) == 0 {
			return
		}
		for _, name := range shellCommandNames() {
			if line, err := shellCommands[name].parse(words); err == nil {
				require.GreaterOrEqual(t, len(line.args), 1)
			}
		}
		var out bytes.Buffer
		sh := &shell{env: &Env{Stdout: &out, Stderr: &out}}
		for _, entry := range sh.parseACL(text) {
			require.LessOrEqual(t, entry.Perms, int32(31))
		}
		_, _ = parseQuota([]byte(text))
		clientConfig(text)
	})
}

func TestClientConfig(t *testing.T) {
	require.Equal(t, " ", clientConfig(""))
	require.Equal(t, "100000 0.0.0.0:2181,h:2182", clientConfig("server.1=a:2888:3888:participant;0.0.0.0:2181\nserver.2=b:1:2;h:2182\nserver.3=c:1:2\nversion=100000"))
}

// On a terminal there is an editor with a prompt. The test runs itself again
// with a terminal for its standard files.
func TestZooKeeperShellOnATerminal(t *testing.T) {
	const asChild = "GREGOR_TEST_SHELL_ADDRESS"
	if addr := os.Getenv(asChild); addr != "" {
		os.Exit(Run(context.Background(), Process(), []string{"zookeeper-shell", addr}))
	}
	addr := shellServer(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestZooKeeperShellOnATerminal$")
	cmd.Env = append(os.Environ(), asChild+"="+addr, "TERM=xterm")
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 200})
	require.NoError(t, err)
	defer terminal.Close()
	require.NoError(t, terminal.SetDeadline(time.Now().Add(20*time.Second)))
	seen := ""
	await := func(text string) {
		t.Helper()
		buf := make([]byte, 4096)
		for !strings.Contains(seen, text) {
			n, err := terminal.Read(buf)
			seen += string(buf[:n])
			require.NoError(t, err, "waiting for %q after %q", text, seen)
		}
		_, seen, _ = strings.Cut(seen, text)
	}
	typed := func(text string) { _, err := io.WriteString(terminal, text); require.NoError(t, err) }
	await("Welcome to ZooKeeper!")
	await(") 0] ")
	typed("ls /\r")
	await("[zookeeper]")
	await("[zk: " + addr + "(CONNECTED) 1] ")
	typed("create /x 'a b'\r")
	await("Created /x")
	await("(CONNECTED) 2] ")
	typed("\x1b[A\x1b[A\r") // up, up: the first command again
	await("[x, zookeeper]")
	typed("quit\r")
	await("state:Closed")
	require.NoError(t, cmd.Wait())
}
