package txnlog

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/zookeeper/jute"
	"gregor/pkg/zookeeper/tree"
)

var open = []jute.ACL{{Perms: 31, ID: jute.ID{Scheme: "world", ID: "anyone"}}}

func ignoreName(string) {}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	require.NoError(t, err)
	return b
}

// sequence is transactions 1..n: sessions, nodes, a failed multi, an error.
func sequence(n int) []*jute.Txn {
	var txns []*jute.Txn
	for i := 1; i <= n; i++ {
		txn := &jute.Txn{SessionID: 77, Cxid: int32(i), Zxid: int64(i), Time: int64(1000 + i)}
		switch {
		case i == 1:
			txn.Op, txn.Body = jute.OpCreateSession, &jute.CreateSessionTxn{Timeout: 4000}
		case i%5 == 0:
			txn.Op, txn.Body = jute.OpError, &jute.ErrorTxn{Code: jute.NoNode}
		default:
			txn.Op, txn.Body = jute.OpCreate, &jute.CreateTxn{Path: fmt.Sprintf("/n%d", i), Data: bytes.Repeat([]byte{'B'}, i%7),
				ACL: open, Ephemeral: i%3 == 0, ParentCVersion: int32(i)}
		}
		txns = append(txns, txn)
	}
	return txns
}

// writeDir makes a directory with snapshot.0 and one log of the transactions.
// It returns where in the log each record ends.
func writeDir(t testing.TB, txns []*jute.Txn) (dir string, ends []int) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "version-2")
	require.NoError(t, os.Mkdir(dir, 0o755))
	_, err := WriteSnapshot(dir, &Snapshot{Nodes: tree.New().View()})
	require.NoError(t, err)
	w := NewWriter(dir, 4096, ignoreName)
	var records []byte
	for _, txn := range txns {
		records = AppendRecord(records, txn)
		ends = append(ends, logHeaderSize+len(records))
	}
	require.NoError(t, w.Append(1, records))
	require.NoError(t, w.Sync())
	require.NoError(t, w.Close())
	return dir, ends
}

func options(dir string) Options { return Options{SnapDir: dir, LogDir: dir} }

func TestLogIsApaches(t *testing.T) {
	dir := t.TempDir()
	w := NewWriter(dir, 64<<20, ignoreName)
	require.NoError(t, w.Append(1, AppendRecord(nil, &jute.Txn{SessionID: 0x0100001288e70000, Zxid: 1, Time: 0x1a1f6ef516a,
		Op: jute.OpCreateSession, Body: &jute.CreateSessionTxn{Timeout: 10000}, HasDigest: true, Digest: tree.New().Digest()})))
	require.NoError(t, w.Sync())
	require.NoError(t, w.Close())
	b, err := os.ReadFile(filepath.Join(dir, "log.1"))
	require.NoError(t, err)
	require.Len(t, b, 67108880, "grown by 64 MiB behind the header")
	want := unhex(t, `5a4b4c47 00000002 0000000000000000
		00000000df9b0b3f 00000030 0100001288e70000 00000000 0000000000000001 000001a1f6ef516a fffffff6 00002710 00000002 0000000051c6d660 42`)
	require.Equal(t, hex.EncodeToString(want), hex.EncodeToString(b[:len(want)]))
	require.Equal(t, make([]byte, 100), b[len(want):len(want)+100])
}

// The first part of an empty tree's snapshot, up to its seal, is what Apache
// 3.5.9 writes.
func TestSnapshotIsApaches(t *testing.T) {
	path, err := WriteSnapshot(t.TempDir(), &Snapshot{Nodes: tree.New().View(), Digest: tree.New().Digest()})
	require.NoError(t, err)
	require.Equal(t, "snapshot.0", filepath.Base(path))
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Len(t, b, 457)
	require.Equal(t, hex.EncodeToString(unhex(t, "00000000b8a23b49 00000001 2f")), hex.EncodeToString(b[411:424]))
}

func TestSnapshotRoundTrip(t *testing.T) {
	tr := tree.New()
	for _, txn := range sequence(40) {
		tr.Apply(txn)
	}
	tr.Apply(&jute.Txn{SessionID: 77, Zxid: 50, Op: jute.OpSetACL, Body: &jute.SetACLTxn{Path: "/n2", ACL: []jute.ACL{{Perms: 3, ID: jute.ID{Scheme: "digest", ID: "a:b"}}}, Version: 1}})
	tr.Apply(&jute.Txn{SessionID: 77, Zxid: 51, Op: jute.OpCreate, Body: &jute.CreateTxn{Path: "/n2/deep", ACL: open, ParentCVersion: 1}})
	tr.Apply(&jute.Txn{SessionID: 77, Zxid: 52, Op: jute.OpCreate, Body: &jute.CreateTxn{Path: "/n2-x", ACL: open, ParentCVersion: 99}})
	sessions := map[int64]int32{77: 4000, 3: 1}
	path, err := WriteSnapshot(t.TempDir(), &Snapshot{Zxid: 0x34, Sessions: sessions, Nodes: tr.View(), Digest: tr.Digest()})
	require.NoError(t, err)
	require.Equal(t, "snapshot.34", filepath.Base(path))
	got, gotSessions, err := ReadSnapshot(path)
	require.NoError(t, err)
	require.Equal(t, sessions, gotSessions)
	require.Equal(t, tr.Digest(), got.Digest())
	require.Equal(t, tr.Count(), got.Count())
	require.Equal(t, tr.Ephemerals(77), got.Ephemerals(77))
	require.Equal(t, tr.Get("/n2").ACL, got.Get("/n2").ACL)
	require.Nil(t, got.Get("/n2/deep").Data, "null stays null")
	require.Equal(t, []byte{}, got.Get("/n7").Data, "empty stays empty")
}

func TestSnapshotsDamagedAnywhereAreRefused(t *testing.T) {
	tr := tree.New()
	for _, txn := range sequence(6) {
		tr.Apply(txn)
	}
	path, err := WriteSnapshot(t.TempDir(), &Snapshot{Zxid: 6, Nodes: tr.View(), Digest: tr.Digest(), Sessions: map[int64]int32{77: 1}})
	require.NoError(t, err)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for i := 16; i < len(whole); i++ { // the header's version and id are not looked at
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0x20
		_, _, err := readSnapshot(bytes.NewReader(damaged), int64(len(damaged)))
		require.Error(t, err, "byte %d", i)
	}
	parts := 0
	for i := range whole {
		if _, _, err := readSnapshot(bytes.NewReader(whole[:i]), int64(i)); err == nil {
			parts++
		}
	}
	require.Equal(t, 1, parts, "only behind the first seal, as an older version would have written it")
}

// kill -9 at any byte: what was written whole is there, nothing else is, and
// the next start goes on behind it.
func TestRecoveryCutAtEveryByte(t *testing.T) {
	txns := sequence(7)
	dir, ends := writeDir(t, txns)
	log := filepath.Join(dir, "log.1")
	whole, err := os.ReadFile(log)
	require.NoError(t, err)
	last := ends[len(ends)-1]
	require.Greater(t, len(whole), last)
	for cut := range last + 1 {
		for _, grown := range []bool{false, true} {
			b := bytes.Clone(whole[:cut])
			if grown && cut >= logHeaderSize {
				b = append(b, make([]byte, 300)...) // the file was grown before
			}
			require.NoError(t, os.WriteFile(log, b, 0o644))
			state, err := Recover(options(dir))
			require.NoError(t, err, "cut at %d", cut)
			want := 0
			for want < len(ends) && ends[want] <= cut {
				want++
			}
			require.EqualValues(t, want, state.Zxid, "cut at %d", cut)
			require.Equal(t, want, state.Replayed)
			if want > 0 {
				require.Equal(t, map[int64]int32{77: 4000}, state.Sessions)
			}
			require.Equal(t, want >= 2, state.Tree.Get("/n2") != nil)
			if between := cut != logHeaderSize && !slices.Contains(ends, cut); !grown {
				require.Equal(t, between, len(state.Warnings) > 0, "cut at %d: %v", cut, state.Warnings)
			}
			if cut < logHeaderSize {
				require.NoFileExists(t, log)
			}
		}
	}
}

func TestLogDamage(t *testing.T) {
	for name, row := range map[string]struct {
		damage func(b []byte, ends []int) []byte
		zxid   int64 // 0: refused
		says   string
	}{
		"payload byte of a middle record": {func(b []byte, e []int) []byte { b[e[3]+20] ^= 1; return b }, 0, "checksum"},
		"payload byte of the last record": {func(b []byte, e []int) []byte { b[e[8]+20] ^= 1; return b }, 0, "checksum"},
		"end of a middle record":          {func(b []byte, e []int) []byte { b[e[3]-1] = 0; return b }, 0, "sound records follow"},
		"end of the last record":          {func(b []byte, e []int) []byte { b[e[9]-1] = 0; return b }, 9, "without its end"},
		"tail of the last record":         {func(b []byte, e []int) []byte { clear(b[e[9]-9:]); return b }, 9, "without its end"},
		"negative length":                 {func(b []byte, e []int) []byte { copy(b[e[3]+8:], "\xff\xff\xff\xff"); return b }, 0, "length -1"},
		"huge length": {func(b []byte, e []int) []byte {
			copy(b[e[9]:], "\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x00\x00\x00")
			return b
		}, 10, "ends inside a record"},
		"checksum without a length":         {func(b []byte, e []int) []byte { b[e[9]+7] = 9; return b }, 10, "without a length"},
		"magic":                             {func(b []byte, _ []int) []byte { b[0] = 0; return b }, 0, "begins with"},
		"unknown type with a good checksum": {func(b []byte, e []int) []byte { return AppendRecord(b[:e[9]], &jute.Txn{Zxid: 11, Op: 999}) }, 0, "unknown transaction type"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, ends := writeDir(t, sequence(10))
			log := filepath.Join(dir, "log.1")
			b, err := os.ReadFile(log)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(log, row.damage(b, ends), 0o644))
			state, err := Recover(options(dir))
			if row.zxid == 0 {
				require.ErrorIs(t, err, ErrCorrupt)
				require.ErrorContains(t, err, row.says)
				require.ErrorContains(t, err, log+": at byte ")
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.zxid, state.Zxid)
			require.Contains(t, strings.Join(state.Warnings, "\n"), row.says)
		})
	}
}

func TestRecoverTakesTheNewestGoodSnapshot(t *testing.T) {
	txns := sequence(12)
	dir, _ := writeDir(t, txns)
	state, err := Recover(options(dir))
	require.NoError(t, err)
	snapshot := &Snapshot{Zxid: 12, Sessions: state.Sessions, Nodes: state.Tree.View(), Digest: state.Tree.Digest()}
	newest, err := WriteSnapshot(dir, snapshot)
	require.NoError(t, err)

	again, err := Recover(options(dir))
	require.NoError(t, err)
	require.EqualValues(t, 12, again.SnapshotZxid)
	require.Zero(t, again.Replayed)
	require.Equal(t, state.Tree.Digest(), again.Tree.Digest())

	for _, damage := range []func(b []byte) []byte{
		func(b []byte) []byte { return b[:len(b)-1] },
		func(b []byte) []byte { b[30] ^= 1; return b },
		func([]byte) []byte { return nil },
	} {
		b, err := os.ReadFile(newest)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(newest, damage(b), 0o644))
		older, err := Recover(options(dir))
		require.NoError(t, err)
		require.EqualValues(t, 0, older.SnapshotZxid)
		require.Equal(t, state.Tree.Digest(), older.Tree.Digest())
		require.NotEmpty(t, older.Warnings)
		_, err = WriteSnapshot(dir, snapshot)
		require.NoError(t, err)
	}

	require.NoError(t, os.Rename(newest, newest+".gz"))
	_, err = Recover(options(dir))
	require.ErrorContains(t, err, "compressed")
}

func TestRecoverRefusesWhatCannotBeWhole(t *testing.T) {
	dir, _ := writeDir(t, sequence(3))
	snapshot := filepath.Join(dir, "snapshot.0")
	require.NoError(t, os.Truncate(snapshot, 20))
	_, err := Recover(options(dir))
	require.ErrorContains(t, err, "Not able to find valid snapshots")
	require.NoError(t, os.Remove(snapshot))
	_, err = Recover(options(dir))
	require.ErrorContains(t, err, "No snapshot found, but there are log entries")
	opts := options(dir)
	opts.TrustEmpty = true
	state, err := Recover(opts)
	require.NoError(t, err)
	require.EqualValues(t, 3, state.Zxid)
}

func TestOrphansAreDropped(t *testing.T) {
	dir, _ := writeDir(t, []*jute.Txn{{SessionID: 5, Zxid: 1, Op: jute.OpCreate, Body: &jute.CreateTxn{Path: "/e", ACL: open, Ephemeral: true, ParentCVersion: 1}}})
	state, err := Recover(options(dir))
	require.NoError(t, err)
	require.Nil(t, state.Tree.Get("/e"), "nobody has session 5")
}

func TestGapsAreNamed(t *testing.T) {
	txns := sequence(4)
	dir, _ := writeDir(t, append(txns[:2], txns[3]))
	state, err := Recover(options(dir))
	require.NoError(t, err)
	require.Contains(t, strings.Join(state.Warnings, ""), "zxid 0x4 follows 0x2")
}

func TestWrongDigestIsNamed(t *testing.T) {
	txns := sequence(4)
	txns[1].HasDigest, txns[1].Digest = true, 7 // may be so: only the last one counts
	txns[2].HasDigest, txns[2].Digest = true, 8
	dir, _ := writeDir(t, txns)
	state, err := Recover(options(dir))
	require.NoError(t, err)
	require.Len(t, state.Warnings, 1)
	require.Contains(t, state.Warnings[0], "at zxid 0x3")
}

func TestLeftoversGo(t *testing.T) {
	dir, _ := writeDir(t, sequence(2))
	for _, name := range []string{".log.9.tmp", ".snapshot.9.tmp", "../initialize", ".other.tmp", "log.x", "snapshot"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o644))
	}
	_, err := Recover(options(dir))
	require.NoError(t, err)
	for _, name := range []string{".log.9.tmp", ".snapshot.9.tmp", "../initialize"} {
		require.NoFileExists(t, filepath.Join(dir, name))
	}
	require.FileExists(t, filepath.Join(dir, ".other.tmp"))
}

func TestWriterRolls(t *testing.T) {
	dir := t.TempDir()
	var names []string
	w := NewWriter(dir, 4096, func(name string) { names = append(names, name) })
	for i, txn := range sequence(4) {
		require.NoError(t, w.Append(txn.Zxid, AppendRecord(nil, txn)))
		require.NoError(t, w.Sync())
		if i == 1 {
			require.NoError(t, w.Roll())
		}
	}
	require.NoError(t, w.Append(5, bytes.Repeat(AppendRecord(nil, sequence(5)[4]), 500)), "more than one step of growth")
	require.NoError(t, w.Close())
	require.Equal(t, []string{"log.1", "log.3"}, names)
	logs, err := Logs(dir)
	require.NoError(t, err)
	require.Len(t, logs, 2)
	read := 0
	_, err = ReadLog(logs[1].Path, func(*jute.Txn) error { read++; return nil })
	require.NoError(t, err)
	require.Equal(t, 502, read)
	require.Greater(t, DirSize(dir), int64(8192))
}

func TestPurgeKeepsWhatIsNeeded(t *testing.T) {
	dir := t.TempDir()
	touch := func(name string, b []byte) { require.NoError(t, os.WriteFile(filepath.Join(dir, name), b, 0o644)) }
	for _, zxid := range []int64{0, 0x10, 0x20, 0x30, 0x40} {
		_, err := WriteSnapshot(dir, &Snapshot{Zxid: zxid, Nodes: tree.New().View()})
		require.NoError(t, err)
	}
	touch("snapshot.50", []byte("not whole")) // does not count as one of the three
	for _, name := range []string{"log.1", "log.11", "log.1f", "log.21", "log.41"} {
		touch(name, nil)
	}
	removed, err := Purge(dir, dir, 3)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"log.1", "log.11", "snapshot.0", "snapshot.10"}, removed)
	require.FileExists(t, filepath.Join(dir, "log.1f"), "it may hold what follows 0x20")
	removed, err = Purge(dir, dir, 3)
	require.NoError(t, err)
	require.Empty(t, removed)
}

func FuzzReadLog(f *testing.F) {
	var b []byte
	for _, txn := range sequence(6) {
		b = AppendRecord(b, txn)
	}
	header := unhex(f, "5a4b4c47 00000002 0000000000000000")
	f.Add(append(header, b...))
	f.Add(append(header, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, b []byte) {
		tr := tree.New()
		tail, err := readLog(bytes.NewReader(b), int64(len(b)), func(txn *jute.Txn) error { tr.Apply(txn); return nil })
		if err == nil {
			require.LessOrEqual(t, tail.Offset, int64(len(b)))
		}
	})
}

func FuzzReadSnapshot(f *testing.F) {
	tr := tree.New()
	for _, txn := range sequence(6) {
		tr.Apply(txn)
	}
	path, err := WriteSnapshot(f.TempDir(), &Snapshot{Zxid: 6, Nodes: tr.View(), Digest: tr.Digest(), Sessions: map[int64]int32{77: 1}})
	require.NoError(f, err)
	b, err := os.ReadFile(path)
	require.NoError(f, err)
	f.Add(b)
	f.Add(b[:40])
	f.Fuzz(func(t *testing.T, b []byte) {
		tr, _, err := readSnapshot(bytes.NewReader(b), int64(len(b)))
		if err == nil {
			require.GreaterOrEqual(t, tr.Count(), 4)
		}
	})
}
