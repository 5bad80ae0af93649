//go:build compat

package compat

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// logDirs are two log directories as a Java broker left them, once stopped in
// order and once killed, to be copied, damaged and started on by both.
type logDirs struct {
	zk            *server
	clean, killed string // each with a and b below
}

func newLogDirs(t *testing.T) *logDirs {
	t.Helper()
	root := t.TempDir()
	d := &logDirs{zk: zooKeeper(t, gregor, t.TempDir(), 0), clean: filepath.Join(root, "clean"), killed: filepath.Join(root, "killed")}
	live := filepath.Join(root, "live")
	settings := map[string]string{"log.dirs": live + "/a," + live + "/b", "listeners": fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", freePort(t))}
	b := broker(t, kafka28, 0, d.zk.Address, "", settings)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Address), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	segments, interval := "1000", "200"
	created, err := kadm.NewClient(client).CreateTopic(ctx, 4, 1, map[string]*string{"segment.bytes": &segments, "index.interval.bytes": &interval}, "t")
	require.NoError(t, err)
	require.NoError(t, created.Err)
	for n := range 40 {
		for p := range int32(4) {
			r := &kgo.Record{Topic: "t", Partition: p, Value: fmt.Appendf(nil, "value %d of partition %d", n, p), Timestamp: time.Now()}
			require.NoError(t, client.ProduceSync(ctx, r).FirstErr())
		}
	}
	require.Equal(t, 143, b.stop())
	b = broker(t, kafka28, 0, d.zk.Address, "", settings)
	eventually(t, 30*time.Second, "the partitions are led", func() bool {
		return client.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte("once more")}).FirstErr() == nil
	})
	require.NoError(t, os.CopyFS(d.killed, os.DirFS(live)))
	require.Equal(t, 143, b.stop())
	require.NoError(t, os.CopyFS(d.clean, os.DirFS(live)))
	return d
}

// startedOn is what became of a broker that was started on log directories.
type startedOn struct {
	Started bool
	Status  int
	Fatal   string // the exception that ended the start
	Offline string // directories that were taken offline
	Files   map[string]string
}

var (
	fatalLine = regexp.MustCompile(`Fatal error during KafkaServer startup\. Prepare to shutdown \(kafka\.server\.KafkaServer\)\n(.*)`)
	anyOrder  = regexp.MustCompile(`found in both \S+ and \S+`) // which one was first is a matter of threads
	// Texts of the Java library, where ours names the file.
	ownWords    = regexp.MustCompile(`^(java\.lang\.IllegalArgumentException): (?:Input byte|Illegal base64|.* is no topic id)`)
	offlineLine = regexp.MustCompile(`Stopping serving logs in dir (\S+)|Failed to create or validate data directory (\S+)`)
)

// start copies directories, damages them and starts a broker on them; when
// it starts it is stopped again.
func (d *logDirs) start(t *testing.T, k kind, from string, damage func(dir string)) (startedOn, string) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "logs")
	require.NoError(t, os.CopyFS(root, os.DirFS(from)))
	damage(root)
	config := filepath.Join(t.TempDir(), "server.properties")
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	properties(t, config, map[string]string{"broker.id": "0", "listeners": "PLAINTEXT://" + address, "controlled.shutdown.enable": "false",
		"log.dirs": root + "/a," + root + "/b", "zookeeper.connect": d.zk.Address, "offsets.topic.replication.factor": "1",
		"zookeeper.session.timeout.ms": "6000"}, nil)
	var p *process
	if k == gregor {
		p = start(t, "gregor", command{Path: filepath.Join(home(), "bin", "kafka-server-start.sh"), Args: []string{config}, Env: []string{"LOG_DIR=" + t.TempDir()}})
	} else {
		p = start(t, "kafka", command{Path: "java", Args: javaArgs(t, k, "512m", log4j(t, "INFO", "System.out"), "kafka.Kafka", []string{config})})
	}
	got := startedOn{}
	eventually(t, time.Minute, "the broker starts or ends", func() bool {
		select {
		case <-p.done:
			return true
		default:
			got.Started = strings.Contains(p.output(), "started (kafka.server.KafkaServer)")
			return got.Started
		}
	})
	if got.Started {
		d.awaitLeaders(t, address, p)
		got.Status = p.stop()
	} else {
		got.Status = p.cmd.ProcessState.ExitCode()
	}
	output := strings.ReplaceAll(p.output(), root, "LOGS")
	if m := fatalLine.FindStringSubmatch(output); m != nil {
		got.Fatal = anyOrder.ReplaceAllString(m[1], "found in both directories")
		if ownWords.MatchString(got.Fatal) {
			got.Fatal = ownWords.FindStringSubmatch(got.Fatal)[1]
		}
	}
	var offline []string
	for _, m := range offlineLine.FindAllStringSubmatch(output, -1) {
		dir := strings.TrimSuffix(m[1]+m[2], ".")
		if !slices.Contains(offline, dir) {
			offline = append(offline, dir)
		}
	}
	got.Offline = strings.Join(offline, " ")
	got.Files = tree(t, root)
	return got, output
}

// awaitLeaders waits until each partition is led or was lost with its directory.
func (d *logDirs) awaitLeaders(t *testing.T, address string, p *process) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.MetadataMinAge(10*time.Millisecond))
	require.NoError(t, err)
	defer client.Close()
	eventually(t, 30*time.Second, "the partitions are led", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		topics, err := kadm.NewClient(client).ListTopics(ctx, "t")
		led := 0
		for _, partition := range topics["t"].Partitions {
			if partition.Leader == 0 {
				led++
			}
		}
		return err == nil && (led == 4 || led > 0 && offlineLine.MatchString(p.output()))
	})
}

// tree names every file below a directory, with a sum of the contents of those
// that hold records or state; checkpoints are compared as sets of lines.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, path)
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		switch base := filepath.Base(name); {
		case base == "meta.properties" || base == ".gregor.session" || base == ".lock":
			return nil
		case strings.HasSuffix(base, "checkpoint"):
			lines := strings.Split(strings.TrimSpace(string(data)), "\n")
			slices.Sort(lines)
			found[name] = strings.Join(lines, "|")
		default:
			sum := sha256.Sum256(data)
			found[name] = fmt.Sprintf("%d bytes %x", len(data), sum[:4])
		}
		return nil
	}))
	return found
}

// in finds the directory of a partition, which may be in a or b.
func in(t *testing.T, root, partition string) string {
	t.Helper()
	for _, dir := range []string{"a", "b"} {
		if _, err := os.Stat(filepath.Join(root, dir, partition)); err == nil {
			return filepath.Join(root, dir, partition)
		}
	}
	require.Fail(t, "no such partition", "%s in %s", partition, root)
	return ""
}

func logFiles(t *testing.T, dir string) []string {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(logs), 3)
	return logs
}

func overwrite(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

// damaged is a way in which log directories can be wrong.
type damaged struct {
	name   string
	killed bool // start from the directories of a killed broker
	damage func(t *testing.T, root string)
}

func withFile(name, text string) func(*testing.T, string) {
	return func(t *testing.T, root string) { overwrite(t, filepath.Join(root, name), text) }
}

func inPartition(name, text string) func(*testing.T, string) {
	return func(t *testing.T, root string) { overwrite(t, filepath.Join(in(t, root, "t-0"), name), text) }
}

func edit(path string, change func([]byte) []byte) func(*testing.T, string) {
	return func(t *testing.T, root string) {
		data, err := os.ReadFile(filepath.Join(root, path))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(root, path), change(data), 0o644))
	}
}

var (
	foreignDirectories = []damaged{
		{"no dash", false, withFile("a/lost+found/x", "")},
		{"no number", false, withFile("a/foo-bar/x", "")},
		{"no topic", false, withFile("a/-1/x", "")},
		{"no unique id", false, withFile("a/t-9-delete/x", "")},
		{"a future log without its unique id", false, withFile("a/t-9-future/x", "")},
		{"a directory to be deleted", false, withFile("a/u-0.0123456789abcdef0123456789abcdef-delete/00000000000000000000.log", "x")},
		{"a plain file", false, withFile("a/notes", "")},
		{"one partition in two directories", false, func(t *testing.T, root string) {
			from := in(t, root, "t-0")
			to := filepath.Join(root, "a", "t-0")
			if from == to {
				to = filepath.Join(root, "b", "t-0")
			}
			require.NoError(t, os.CopyFS(to, os.DirFS(from)))
		}},
	}
	foreignIdentities = []damaged{
		{"another broker in one directory", false, edit("a/meta.properties", func(b []byte) []byte { return []byte(strings.Replace(string(b), "broker.id=0", "broker.id=7", 1)) })},
		{"another broker", false, func(t *testing.T, root string) {
			for _, dir := range []string{"a", "b"} {
				edit(dir+"/meta.properties", func(b []byte) []byte { return []byte(strings.Replace(string(b), "broker.id=0", "broker.id=7", 1)) })(t, root)
			}
		}},
		{"another cluster", false, func(t *testing.T, root string) {
			for _, dir := range []string{"a", "b"} {
				edit(dir+"/meta.properties", func(b []byte) []byte {
					return regexp.MustCompile(`cluster.id=.*`).ReplaceAll(b, []byte("cluster.id=AAAAAAAAAAAAAAAAAAAAAQ"))
				})(t, root)
			}
		}},
		{"no properties", false, withFile("a/meta.properties", "\x00\x01\xff\xfe")},
		{"an empty file", false, withFile("a/meta.properties", "")},
		{"version 1", false, withFile("a/meta.properties", "version=1\nnode.id=0\ncluster.id=AAAAAAAAAAAAAAAAAAAAAQ\n")},
		{"a broken escape", false, withFile("a/meta.properties", "version=0\nbroker.id=0\ncluster.id=\\u12\n")},
		{"an id that is no number", false, withFile("a/meta.properties", "version=0\nbroker.id=zero\n")},
		{"version 1 in both", false, func(t *testing.T, root string) {
			for _, dir := range []string{"a", "b"} {
				overwrite(t, filepath.Join(root, dir, "meta.properties"), "version=1\nbroker.id=0\n")
			}
		}},
		{"one directory without", false, func(t *testing.T, root string) {
			require.NoError(t, os.Remove(filepath.Join(root, "a/meta.properties")))
		}},
	}
	brokenCheckpoints = []damaged{
		{"recovery points wrong count", true, withFile("a/recovery-point-offset-checkpoint", "0\n3\nt 0 5\n")},
		{"log starts wrong count", false, withFile("a/log-start-offset-checkpoint", "0\n3\nt 0 5\n")},
		{"high watermarks wrong count", false, withFile("a/replication-offset-checkpoint", "0\n3\nt 0 5\n")},
		{"high watermarks wrong version", false, withFile("a/replication-offset-checkpoint", "1\n0\n")},
		{"cleaner wrong count", false, withFile("a/cleaner-offset-checkpoint", "0\n3\nt 0 5\n")},
		{"epochs wrong count", false, inPartition("leader-epoch-checkpoint", "0\n5\n0 0\n")},
		{"epochs no number", false, inPartition("leader-epoch-checkpoint", "0\n1\nzero 0\n")},
		{"topic id", false, inPartition("partition.metadata", "version: 0\ntopic_id: ?")},
		{"topic id version 1", false, inPartition("partition.metadata", "version: 1\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ")},
	}
	brokenSegments = []damaged{
		{"a name that is no number", false, inPartition("abc.log", "")},
		{"an index without a log", false, inPartition("00000000000000000999.index", "")},
		{"a swap without a log", false, inPartition("00000000000000000999.log.swap", "")},
		{"an index of a swap", false, inPartition("00000000000000000000.index.swap", "")},
		{"a cleaned file", false, inPartition("00000000000000000000.log.cleaned", "x")},
		{"a deleted file", false, inPartition("00000000000000000000.log.deleted", "x")},
		{"a segment that is gone", false, func(t *testing.T, root string) { require.NoError(t, os.Remove(logFiles(t, in(t, root, "t-0"))[1])) }},
		{"a broken snapshot", false, func(t *testing.T, root string) {
			snapshots, err := filepath.Glob(filepath.Join(in(t, root, "t-0"), "*.snapshot"))
			require.NoError(t, err)
			overwrite(t, snapshots[len(snapshots)-1], "broken")
		}},
	}
	lyingSegments = []damaged{
		{"an index longer than its log killed", true, longIndex},
		{"a name that lies", false, lyingName},
		{"a name that lies killed", true, lyingName},
		{"bytes of nothing in the middle killed", true, func(t *testing.T, root string) {
			logs := logFiles(t, in(t, root, "t-0"))
			require.NoError(t, os.WriteFile(logs[1], make([]byte, 500), 0o644))
		}},
		{"bytes of nothing at the end killed", true, zerosAtTheEnd},
		{"bytes of nothing at the end", false, zerosAtTheEnd},
	}
)

func zerosAtTheEnd(t *testing.T, root string) {
	logs := logFiles(t, in(t, root, "t-0"))
	f, err := os.OpenFile(logs[len(logs)-1], os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.Write(make([]byte, 100))
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// longIndex adds entries for records that are not there.
func longIndex(t *testing.T, root string) {
	index := strings.TrimSuffix(logFiles(t, in(t, root, "t-0"))[0], ".log") + ".index"
	f, err := os.OpenFile(index, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.Write([]byte{0, 0, 0, 200, 0, 0, 100, 0, 0, 0, 0, 210, 0, 0, 110, 0})
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// lyingName gives the second segment a base offset below its records.
func lyingName(t *testing.T, root string) {
	logs := logFiles(t, in(t, root, "t-0"))
	for _, ext := range []string{".log", ".index", ".timeindex"} {
		from := strings.TrimSuffix(logs[1], ".log") + ext
		require.NoError(t, os.Rename(from, filepath.Join(filepath.Dir(from), "00000000000000000002"+ext)))
	}
}

// sideBySide starts Apache Kafka and ours on the same damaged directories.
func sideBySide(t *testing.T, d *logDirs, cases []damaged) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			from := d.clean
			if c.killed {
				from = d.killed
			}
			damage := func(root string) { c.damage(t, root) }
			theirs, theirLog := d.start(t, kafka28, from, damage)
			ours, ourLog := d.start(t, gregor, from, damage)
			if found := otherwise(theirs, ours); found != "" {
				t.Errorf("%s\nKafka says:\n%s\nours:\n%s", found, complaints(theirLog), complaints(ourLog))
			}
		})
	}
}

// otherwise tells how ours ended otherwise than theirs, and which of the
// files are others. Where a start was refused or a directory lost, only the
// records count: Kafka writes its checkpoints anew then, and a clean mark into
// every directory.
func otherwise(theirs, ours startedOn) string {
	var b strings.Builder
	if theirs.Started != ours.Started || theirs.Status != ours.Status || theirs.Fatal != ours.Fatal || theirs.Offline != ours.Offline {
		fmt.Fprintf(&b, "Kafka: started %v, status %d, offline %q, fatal %q\nours:  started %v, status %d, offline %q, fatal %q\n",
			theirs.Started, theirs.Status, theirs.Offline, theirs.Fatal, ours.Started, ours.Status, ours.Offline, ours.Fatal)
	}
	names := map[string]bool{}
	for name := range theirs.Files {
		names[name] = true
	}
	for name := range ours.Files {
		names[name] = true
	}
	for name := range names {
		refused := theirs.Fatal != "" && !strings.HasSuffix(name, ".log") || theirs.Offline != "" && !strings.HasSuffix(name, ".log")
		refused = refused || strings.HasSuffix(name, ".index.swap") // which Kafka leaves for ever, and ours removes
		if theirs.Files[name] != ours.Files[name] && !refused && !strings.Contains(name, "-delete/") {
			fmt.Fprintf(&b, "%s: Kafka leaves %q, ours %q\n", name, theirs.Files[name], ours.Files[name])
		}
	}
	return b.String()
}

// complaints are the lines above INFO with what follows them.
func complaints(log string) string {
	var b strings.Builder
	kept, lines := 0, 0
	for line := range strings.Lines(log) {
		if strings.HasPrefix(line, "[") {
			kept = 0
			if strings.Contains(line, "] WARN ") || strings.Contains(line, "] ERROR ") {
				kept, lines = 2, lines+1
			}
		}
		if kept > 0 && lines <= 8 {
			b.WriteString(line[:min(len(line), 300)])
			if len(line) > 300 {
				b.WriteByte('\n')
			}
			kept--
		}
	}
	return b.String()
}

// What is wrong with log directories is found by ours where it is by Apache
// Kafka, with the same sentence and end, and the files that are left are the
// same.
func TestForeignDirectories(t *testing.T) { sideBySide(t, newLogDirs(t), foreignDirectories) }

func TestForeignIdentities(t *testing.T) { sideBySide(t, newLogDirs(t), foreignIdentities) }

func TestBrokenCheckpoints(t *testing.T) { sideBySide(t, newLogDirs(t), brokenCheckpoints) }

func TestBrokenSegments(t *testing.T) { sideBySide(t, newLogDirs(t), brokenSegments) }

func TestLyingSegments(t *testing.T) { sideBySide(t, newLogDirs(t), lyingSegments) }
