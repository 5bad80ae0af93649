//go:build soak

package soak

import (
	"cmp"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/testkit"
)

// edit replaces a text that is in a file exactly once.
type edit struct{ file, old, new string }

// mutation is a broker with a deliberate fault. Nothing of it is in the
// product: the source is changed for one build alone, by go build -overlay.
type mutation struct {
	name      string
	edits     []edit
	weights   map[string]int // of the faults that show it; all when nil
	rf, least int            // replicas and min.insync.replicas; by the seed when 0
	settings  map[string]string
}

// crashes are faults that lose leaders.
var crashes = map[string]int{testkit.FaultKill: 4, testkit.FaultIsolate: 3, testkit.FaultPause: 3, testkit.FaultExpire: 3, testkit.FaultKillAll: 1}

// slowFollowers makes catching up take its time.
var slowFollowers = map[string]string{"replica.fetch.max.bytes": "300", "replica.fetch.response.max.bytes": "300"}

var mutations = []mutation{
	{"acks=all is answered before the ISR has it", []edit{
		{"pkg/replica/append.go", "a.settled = a.Err != nil || req.Acks != -1", "a.settled = true"}}, crashes, 0, 0, nil},
	{"the high watermark does not wait for the ISR", []edit{
		{"pkg/replica/partition.go", "if r.logEndOffset < high && (now.Sub(r.lastCaughtUp) <= p.lagMax || slices.Contains(isr, id)) {",
			"if _ = isr; r.logEndOffset < high && id < 0 {"}}, crashes, 0, 0, nil},
	{"the high watermark leaves out the last member of the ISR", []edit{
		{"pkg/replica/partition.go", "high, isr := p.log.LogEndOffset(), p.maximalLocked()", "high, isr := p.log.LogEndOffset(), p.maximalLocked()[:max(1, len(p.maximalLocked())-1)]"},
		{"pkg/replica/partition.go", "(now.Sub(r.lastCaughtUp) <= p.lagMax || slices.Contains(isr, id))", "slices.Contains(isr, id)"}}, crashes, 0, 0, nil},
	{"a replica joins the ISR too early", []edit{
		{"pkg/replica/isr.go", "logEnd >= p.log.HighWatermark() && logEnd >= p.leaderSince", "logEnd >= 0"}},
		map[string]int{testkit.FaultKill: 1}, 2, 1, slowFollowers},
	{"a shrunken ISR counts before it is confirmed", []edit{
		{"pkg/replica/isr.go", "if p.pending != nil && len(p.pending.isr) > len(p.isr) {", "if p.pending != nil {"}},
		map[string]int{testkit.FaultIsolate: 3, testkit.FaultHold: 1, testkit.FaultKill: 2, testkit.FaultExpire: 3, testkit.FaultLateZK: 2}, 2, 1, nil},
	{"followers cut at the high watermark", []edit{
		{"pkg/replica/fetcher.go", "s.last = log.LatestEpoch(); s.last != model.NoLeaderEpoch {", "s.last = log.LatestEpoch(); s.last == -7 {"},
		{"pkg/replica/truncation.go", "if latest != model.NoLeaderEpoch && f.manager.options.Versions.EpochLookup {", "if latest == -7 && f.manager.options.Versions.EpochLookup {"},
		{"pkg/replica/follower.go", "case truncateOnFetch && p.log.LatestEpoch() != model.NoLeaderEpoch:", "case truncateOnFetch && p.log == nil:"}},
		map[string]int{testkit.FaultKillAll: 3, testkit.FaultKill: 3, testkit.FaultIsolate: 1}, 3, 1, nil},
	{"followers do not cut", []edit{
		{"pkg/replica/truncation.go", "did, err := s.partition.truncate(s.epoch, c.offset)", "did, err := s.partition.truncate(s.epoch, max(c.offset, log.LogEndOffset()))"}}, crashes, 2, 1, nil},
	{"anybody may lead", []edit{
		{"pkg/controller/election.go", "if !b.unclean || len(live) == 0 {", "if len(live) == 0 {"}}, crashes, 2, 1, nil},
	{"a preferred leader need not be in the ISR", []edit{
		{"pkg/controller/election.go", "!b.online(b.assigned[0]) || !slices.Contains(b.isr, b.assigned[0])", "!b.online(b.assigned[0])"}},
		map[string]int{testkit.FaultKill: 2, testkit.FaultPreferred: 5}, 2, 1, slowFollowers},
	{"consumers read what is not committed", []edit{
		{"pkg/replica/fetch.go", "info, err := log.Read(f.Offset, most, params.Isolation, whole)", "info, err := log.Read(f.Offset, most, commitlog.LogEnd, whole)"},
		{"pkg/replica/fetch.go", "	case commitlog.HighWatermark:\n		return log.HighWatermark()", "	case commitlog.HighWatermark:\n		return log.LogEndOffset()"}}, crashes, 2, 1, nil},
	{"repeated batches are appended again", []edit{
		{"pkg/commitlog/producers.go", "if origin == OriginClient && !b.Control() {", "if b.ProducerEpoch() == p.epoch {\n\t\tif _, repeated = p.duplicate(b); repeated {\n\t\t\treturn dup, false, nil\n\t\t}\n\t}\n\tif origin < 0 {"}},
		map[string]int{testkit.FaultHoldAnswers: 3, testkit.FaultHold: 3, testkit.FaultKill: 3}, 0, 0, nil},
	{"a restart goes back to the high watermark", []edit{
		{"pkg/replica/changes.go", "	log.SetHighWatermark(max(min(high, log.LogEndOffset()), log.LogStartOffset()))",
			"	if err := log.TruncateTo(max(min(high, log.LogEndOffset()), log.LogStartOffset())); err != nil {\n\t\treturn nil, err\n\t}\n	log.SetHighWatermark(max(min(high, log.LogEndOffset()), log.LogStartOffset()))"}},
		map[string]int{testkit.FaultKillAll: 3, testkit.FaultKill: 3}, 0, 0, nil},
	{"a controller writes whatever another has written meanwhile", []edit{
		{"pkg/controller/zk.go", "return s.zk.CreatePartitionStates(s.ctx, stored(states), s.fence)", "return s.zk.CreatePartitionStates(s.ctx, stored(states), zkstore.NoFence)"},
		{"pkg/controller/zk.go", "	written, failed, err := s.zk.UpdatePartitionStates(s.ctx, stored(states), s.fence)",
			"	blind := stored(states)\n\tfor tp, p := range blind {\n\t\tp.ZkVersion = -1\n\t\tblind[tp] = p\n\t}\n	written, failed, err := s.zk.UpdatePartitionStates(s.ctx, blind, zkstore.NoFence)"}},
		map[string]int{testkit.FaultPause: 4, testkit.FaultExpire: 2, testkit.FaultLateZK: 4, testkit.FaultKill: 1}, 2, 1, nil},
}

// Every deliberate fault is found by some history; each gets up to
// GREGOR_HISTORIES of them.
func TestMutations(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	for i, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			if only := os.Getenv("GREGOR_MUTATION"); only != "" && only != strconv.Itoa(i) {
				t.Skip("another one is asked for")
			}
			mutant := build(t, m)
			for range number(t, "GREGOR_HISTORIES", 8) {
				cmd := exec.Command(self, "-test.run", "^TestMutant$", "-test.v")
				cmd.Env = append(os.Environ(), "GREGOR_BIN="+mutant, "GREGOR_MUTANT="+strconv.Itoa(i))
				out, err := cmd.CombinedOutput()
				if err == nil {
					continue
				}
				text := string(out)
				at := strings.Index(text, "the history shows")
				if at < 0 {
					at = strings.Index(text, "not healed")
				}
				require.GreaterOrEqual(t, at, 0, "it failed in some other way:\n%s", text[:min(len(text), 6000)])
				found := text[at:]
				t.Logf("found: %s", found[:min(len(found), 400)])
				return
			}
			t.Errorf("no history has found it")
		})
	}
}

// TestMutant is one history of a mutant; TestMutations runs it.
func TestMutant(t *testing.T) {
	if os.Getenv("GREGOR_MUTANT") == "" {
		t.Skip("run by TestMutations")
	}
	m := mutations[number(t, "GREGOR_MUTANT", 0)]
	run(t, testkit.Seed(t), "2.8", m.settings, testkit.HistoryOptions{Faults: 12, Weights: m.weights, ReplicationFactor: m.rf, MinInSync: m.least})
}

// build makes the binary of a mutant.
func build(t *testing.T, m mutation) string {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	dir := t.TempDir()
	changed := map[string]string{} // file to its changed text
	for _, e := range m.edits {
		path := filepath.Join(root, e.file)
		text := changed[path]
		if text == "" {
			content, err := os.ReadFile(path)
			require.NoError(t, err)
			text = string(content)
		}
		require.Equal(t, 1, strings.Count(text, e.old), "%s has moved on: %s", e.file, e.old)
		changed[path] = strings.Replace(text, e.old, e.new, 1)
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for path, text := range changed {
		copied := filepath.Join(dir, strconv.Itoa(len(overlay.Replace))+".go")
		require.NoError(t, os.WriteFile(copied, []byte(text), 0o644))
		overlay.Replace[path] = copied
	}
	list, err := json.Marshal(overlay)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "overlay.json"), list, 0o644))
	binary := filepath.Join(dir, "gregor")
	cmd := exec.Command(cmp.Or(os.Getenv("GO"), "go"), "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary, "./cmd/gregor")
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return binary
}
