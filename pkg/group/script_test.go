package group

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/kerr"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestScripts runs the conversations of testdata/*.txt against the state
// machine alone. A line that is not indented is an event; the indented lines
// below it are what it caused: log lines (by their level), answers by the name
// of the request, records, and the group afterwards. The events:
//
//	options delay=3s maxsize=2
//	join A id=c-1 client=c instance=i v4 session=10s rebalance=30s type=consumer protocols=range/x,sticky/y
//	sync B id=c-1 gen=1 assign=c-1/p0,c-2/p1 type=.. protocol=.. instance=..
//	heartbeat id=.. gen=.. instance=..     leave id=.. instance=..
//	commit id=.. gen=.. instance=..        check only
//	stored [ERROR]                         the outcome of the record's append
//	wait 3s                                time passes, with all that is due
//	unload / loaded
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			got := newScript().run(t, string(text))
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
				return
			}
			require.Equal(t, string(text), got)
		})
	}
}

type script struct {
	g       *Group
	opts    *Options
	now     time.Time
	out     strings.Builder
	tickets []string
	stores  []*Store
	ids     int
}

func newScript() *script { return &script{} }

func (s *script) reset() {
	s.opts = &Options{
		MaxSize: 100, OffsetsRetention: time.Hour, GroupValueVersion: 3, OffsetValueVersion: 3,
		NewMemberID: func(prefix string) string { s.ids++; return fmt.Sprintf("%s-%d", prefix, s.ids) },
	}
	s.now = time.UnixMilli(1_000_000)
	s.ids, s.tickets, s.stores = 0, []string{""}, nil
	s.g = NewGroup("g", "__consumer_offsets-7", s.opts, s.now)
}

func (s *script) run(t *testing.T, text string) string {
	s.reset()
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if strings.HasPrefix(line, " ") {
			continue
		}
		s.out.WriteString(line + "\n")
		if line != "" && !strings.HasPrefix(line, "#") {
			s.event(t, line)
		}
	}
	return s.out.String()
}

func (s *script) printf(format string, args ...any) { fmt.Fprintf(&s.out, "  "+format+"\n", args...) }

type arguments map[string]string

func (a arguments) duration(t *testing.T, key string, otherwise time.Duration) time.Duration {
	if a[key] == "" {
		return otherwise
	}
	d, err := time.ParseDuration(a[key])
	require.NoError(t, err)
	return d
}

func (a arguments) number(t *testing.T, key string, otherwise int) int32 {
	if a[key] == "" {
		return int32(otherwise)
	}
	n, err := strconv.Atoi(a[key])
	require.NoError(t, err)
	return int32(n)
}

func (a arguments) optional(key string) *string {
	if v, ok := a[key]; ok {
		return &v
	}
	return nil
}

func (a arguments) pairs(key string) (list [][2]string) {
	if a[key] == "" {
		return nil
	}
	for _, item := range strings.Split(a[key], ",") {
		name, value, _ := strings.Cut(item, "/")
		list = append(list, [2]string{name, value})
	}
	return list
}

func (s *script) event(t *testing.T, line string) {
	words := strings.Fields(line)
	args := arguments{}
	for i, w := range words[1:] {
		if key, value, ok := strings.Cut(w, "="); ok {
			args[key] = value
		} else {
			args["word"+strconv.Itoa(i)] = w
		}
	}
	_, v4 := args["word1"]
	switch words[0] {
	case "reset":
		s.reset()
		return
	case "options":
		s.opts.InitialRebalanceDelay = args.duration(t, "delay", s.opts.InitialRebalanceDelay)
		s.opts.MaxSize = int(args.number(t, "maxsize", s.opts.MaxSize))
		return
	case "join":
		j := Join{
			Ticket: s.ticket(args["word0"]), MemberID: args["id"], Instance: args.optional("instance"), RequireKnownID: v4,
			ClientID: cmp.Or(args["client"], "c"), ClientHost: "/10.0.0.5",
			SessionTimeout: args.duration(t, "session", 10*time.Second), RebalanceTimeout: args.duration(t, "rebalance", 30*time.Second),
			ProtocolType: cmp.Or(args["type"], "consumer"),
		}
		if _, given := args["protocols"]; !given {
			args["protocols"] = "range/" + subscribed
		}
		for _, p := range args.pairs("protocols") {
			j.Protocols = append(j.Protocols, Protocol{p[0], []byte(p[1])})
		}
		if args["type"] == "none" {
			j.ProtocolType = ""
		}
		s.effects(s.g.Join(s.now, j))
	case "sync":
		y := Sync{Ticket: s.ticket(args["word0"]), MemberID: args["id"], Instance: args.optional("instance"),
			Generation: args.number(t, "gen", int(s.g.generation)), ProtocolType: args.optional("type"), Protocol: args.optional("protocol"),
			Assignments: map[string][]byte{}}
		for _, p := range args.pairs("assign") {
			y.Assignments[p[0]] = []byte(p[1])
		}
		s.effects(s.g.Sync(s.now, y))
	case "heartbeat":
		err, out := s.g.Heartbeat(s.now, args["id"], args.optional("instance"), args.number(t, "gen", int(s.g.generation)))
		s.printf("-> %s", name(err))
		s.effects(out)
	case "commit":
		err, out := s.g.CheckCommit(s.now, args["id"], args.optional("instance"), args.number(t, "gen", int(s.g.generation)))
		s.printf("-> %s", name(err))
		s.effects(out)
	case "leave":
		err, out := s.g.Leave(s.now, Leave{MemberID: args["id"], Instance: args.optional("instance")})
		s.printf("-> %s", name(err))
		s.effects(out)
	case "stored":
		if len(s.stores) == 0 {
			s.printf("nothing is on its way to the log")
			break
		}
		first := s.stores[0]
		s.stores = s.stores[1:]
		s.effects(s.g.Stored(s.now, first, errorNamed(t, args["word0"])))
	case "wait":
		d, err := time.ParseDuration(args["word0"])
		require.NoError(t, err)
		s.pass(s.now.Add(d))
	case "unload":
		s.effects(s.g.Unload(s.now))
	case "loaded":
		s.effects(s.g.Loaded(s.now))
	default:
		t.Fatalf("no event %q", line)
	}
	s.describe()
}

// pass lets time go on to the end, with each thing that becomes due.
func (s *script) pass(end time.Time) {
	for {
		next := s.g.NextDeadline()
		if next.IsZero() || next.After(end) {
			s.now = end
			return
		}
		if next.After(s.now) {
			s.now = next
		}
		s.printf("at %s", s.now.Sub(time.UnixMilli(1_000_000)))
		s.effects(s.g.Tick(s.now))
	}
}

func (s *script) ticket(name string) Ticket {
	s.tickets = append(s.tickets, name)
	return Ticket(len(s.tickets) - 1)
}

func (s *script) effects(out Effects) {
	for _, l := range out.Lines {
		s.printf("%s %s", strings.ToUpper(l.Level.String()), l.Text)
	}
	for _, a := range out.Joins {
		s.printf("%s joined: %s id=%q gen=%d type=%s protocol=%s leader=%q", s.tickets[a.Ticket], name(a.Err), a.MemberID, a.Generation, option(a.ProtocolType), option(a.Protocol), a.LeaderID)
		for _, m := range a.Members {
			s.printf("    member %s instance=%s metadata=%q", m.ID, option(m.Instance), m.Metadata)
		}
	}
	for _, a := range out.Syncs {
		s.printf("%s synced: %s type=%s protocol=%s assignment=%q", s.tickets[a.Ticket], name(a.Err), option(a.ProtocolType), option(a.Protocol), a.Assignment)
	}
	if out.Store != nil {
		s.printf("append group record, generation %d", out.Store.generation)
		s.stores = append(s.stores, out.Store)
	}
}

func (s *script) describe() {
	var members []string
	for _, m := range s.g.sorted() {
		text := m.id
		if m.join != 0 {
			text += "(joining)"
		}
		if m.sync != 0 {
			text += "(syncing)"
		}
		members = append(members, text)
	}
	s.printf("= %s generation %d leader %q members [%s] pending %v", s.g.state, s.g.generation, s.g.leader,
		strings.Join(members, " "), slices.Sorted(maps.Keys(s.g.pending)))
}

func name(err *kerr.Error) string {
	if err == nil {
		return "NONE"
	}
	return err.Name
}

func errorNamed(t *testing.T, name string) *kerr.Error {
	if name == "" {
		return nil
	}
	for code := int16(-1); code < 120; code++ {
		if e := kerr.ForCode(code); e != nil && e.Name == name {
			return e
		}
	}
	t.Fatalf("no error %s", name)
	return nil
}

// subscribed is how scripts write a subscription; it is not the consumer
// protocol's.
const subscribed = "s"
