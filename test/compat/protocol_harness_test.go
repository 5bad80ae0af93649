//go:build compat

package compat

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/protocol"
)

// The same conversation is held with a broker of Apache Kafka 2.8.2 and with
// ours: a script asks, each side records every answer as lines "field: value"
// under the request's label, and what differs is reported as a table.

// side is one of the two brokers that are compared.
type side struct {
	t       testing.TB
	name    string
	pid     int
	address string
	scrub   *strings.Replacer // takes out what is this side's own
	ranges  map[int16][2]int16
	mu      sync.Mutex
	answers map[string][]string
	order   []string
}

// pair starts the two sides, each with its own ZooKeeper.
func pair(t *testing.T, changes map[string]string) [2]*side {
	var sides [2]*side
	var wg sync.WaitGroup
	for i, k := range []kind{gregor, kafka28} {
		zkDir, logDir := t.TempDir(), t.TempDir()
		wg.Add(1)
		go func() {
			defer wg.Done()
			zk := zooKeeper(t, kafka28, zkDir, 0)
			b := broker(t, k, 0, zk.Address, logDir, changes)
			_, port, err := net.SplitHostPort(b.Address)
			if err != nil {
				panic(err) // an address of ours
			}
			sides[i] = &side{t: t, name: string(k), pid: b.cmd.Process.Pid, address: b.Address, answers: map[string][]string{},
				scrub: strings.NewReplacer(logDir, "<dir>", zk.Address, "<zookeeper>", b.Address, "<address>", ":"+port, ":<port>", port, "<port>")}
			sides[i].ranges = sides[i].versions()
		}()
	}
	wg.Wait()
	require.NotNil(t, sides[0], "our side did not start")
	require.NotNil(t, sides[1], "the original did not start")
	return sides
}

// versions asks which APIs are served.
func (s *side) versions() map[int16][2]int16 {
	c := s.open()
	defer c.close()
	resp, ok := c.send(0, kmsg.NewPtrApiVersionsRequest()).(*kmsg.ApiVersionsResponse)
	ranges := map[int16][2]int16{}
	if ok {
		for _, k := range resp.ApiKeys {
			ranges[k.ApiKey] = [2]int16{k.MinVersion, k.MaxVersion}
		}
	}
	return ranges
}

// record keeps an answer under its label.
func (s *side) record(label string, lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := 2; ; n++ {
		if _, taken := s.answers[label]; !taken {
			break
		}
		label = fmt.Sprintf("%s #%d", strings.TrimRight(label, "#0123456789 "), n)
	}
	s.answers[label] = lines
	s.order = append(s.order, label)
}

// conv is a connection to one side on which a script speaks.
type conv struct {
	*side
	conn   net.Conn
	id     int32
	client string
	common map[int16][2]int16
}

func (s *side) open() *conv { return &conv{side: s, client: "cli"} }

// other is a second connection to the same side.
func (c *conv) other() *conv { return &conv{side: c.side, client: c.client, common: c.common} }

func (c *conv) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

var errClosed = errors.New("closed")

const answerMax = 10 * time.Second

// frame sends bytes as one frame and returns the frame that comes back.
func (c *conv) frame(payload []byte) ([]byte, error) {
	if err := c.write(binary.BigEndian.AppendUint32(nil, uint32(len(payload))), payload); err != nil {
		return nil, errClosed
	}
	return c.read(answerMax)
}

func (c *conv) write(parts ...[]byte) error {
	if c.conn == nil {
		conn, err := net.DialTimeout("tcp", c.address, 5*time.Second)
		if err != nil {
			return fmt.Errorf("dial: %w", err)
		}
		c.conn = conn
	}
	for _, p := range parts {
		if _, err := c.conn.Write(p); err != nil {
			c.close()
			return err
		}
	}
	return nil
}

func (c *conv) read(limit time.Duration) ([]byte, error) {
	if c.conn == nil {
		return nil, errClosed
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return nil, err
	}
	var size [4]byte
	_, err := io.ReadFull(c.conn, size[:])
	if err == nil {
		n := binary.BigEndian.Uint32(size[:])
		if n > 64<<20 {
			return nil, fmt.Errorf("an answer of %d bytes", n)
		}
		answer := make([]byte, n)
		if _, err = io.ReadFull(c.conn, answer); err == nil {
			return answer, nil
		}
	}
	c.close()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, errors.New("no answer")
	}
	return nil, errClosed
}

// encode is the request with its header.
func (c *conv) encode(version int16, req kmsg.Request) []byte {
	req.SetVersion(version)
	row, _ := protocol.Lookup(req.Key())
	c.id++
	b := binary.BigEndian.AppendUint16(nil, uint16(req.Key()))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, uint32(c.id))
	if req.Key() != protocol.KeyControlledShutdown || version > 0 {
		b = binary.BigEndian.AppendUint16(b, uint16(len(c.client)))
		b = append(b, c.client...)
	}
	if row.IsFlexible(version) {
		b = append(b, 0)
	}
	return req.AppendTo(b)
}

// send asks and decodes the answer; it returns nil, or an error in place of
// a response.
func (c *conv) send(version int16, req kmsg.Request) any {
	payload := c.encode(version, req)
	answer, err := c.frame(payload)
	if err != nil {
		return err
	}
	return c.decode(version, req, answer)
}

func (c *conv) decode(version int16, req kmsg.Request, answer []byte) any {
	row, _ := protocol.Lookup(req.Key())
	head := 4
	if row.IsFlexible(version) && req.Key() != protocol.KeyApiVersions {
		head = 5
	}
	if len(answer) < head {
		return fmt.Errorf("an answer of %d bytes", len(answer))
	}
	if id := int32(binary.BigEndian.Uint32(answer)); id != c.id {
		return fmt.Errorf("correlation id %d for %d", id, c.id)
	}
	resp := req.ResponseKind()
	resp.SetVersion(version)
	if err := resp.ReadFrom(answer[head:]); err != nil {
		return fmt.Errorf("cannot be decoded: %x: %w", answer, err)
	}
	if again := len(resp.AppendTo(nil)) + head; again != len(answer) {
		c.t.Logf("%s: %T v%d has %d bytes, %d when encoded again", c.name, req, version, len(answer), again)
	}
	return resp
}

// ask sends a request in one version, records the answer under the case's
// name, and returns it.
func ask[R kmsg.Response](c *conv, what string, version int16, req kmsg.Request) R {
	from := time.Now()
	got := c.send(version, req)
	if took := time.Since(from); took > 3*time.Second {
		c.t.Logf("%s: %s took %s", c.name, label(req, version, what), took.Round(time.Millisecond))
	}
	c.record(label(req, version, what), c.lines(got))
	resp, ok := got.(R)
	if !ok {
		resp, _ = req.ResponseKind().(R)
		resp.SetVersion(version)
	}
	return resp
}

// each asks in every version that both sides serve. The request is made anew
// for each; nil leaves the version out.
func (c *conv) each(what string, build func(version int16) kmsg.Request) {
	for version := range c.both(keyOf(build)) {
		if req := build(version); req != nil {
			ask[kmsg.Response](c, what, version, req)
		}
	}
}

func keyOf(build func(int16) kmsg.Request) int16 {
	for version := range int16(16) {
		if req := build(version); req != nil {
			return req.Key()
		}
	}
	panic("a case without a request")
}

// both yields the versions that both sides serve.
func (c *conv) both(key int16) func(func(int16) bool) {
	r, ok := c.common[key]
	return func(yield func(int16) bool) {
		for v := r[0]; ok && v <= r[1] && yield(v); v++ {
		}
	}
}

func label(req kmsg.Request, version int16, what string) string {
	return fmt.Sprintf("%s|%d|%s", kmsg.NameForKey(req.Key()), version, what)
}

// hold runs a script on both sides at once and returns when both are through.
func hold(t *testing.T, sides [2]*side, script func(c *conv)) {
	common := map[int16][2]int16{}
	for key, ours := range sides[0].ranges {
		if theirs, ok := sides[1].ranges[key]; ok {
			common[key] = [2]int16{max(ours[0], theirs[0]), min(ours[1], theirs[1])}
		}
	}
	var wg sync.WaitGroup
	for _, s := range sides {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c := s.open()
			c.common = common
			defer c.close()
			script(c)
		}()
	}
	wg.Wait()
}

var (
	uuid = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	// volatile fields are compared by whether they are set.
	volatile = regexp.MustCompile(`(TopicID|ProducerID|SessionID|LogAppendTime|ClusterID|MemberID|Leader|LeaderID)$`)
	ignored  = regexp.MustCompile(`(ThrottleMillis|UnknownTags|Version)$`)
	// keyed fields name an element of an array.
	keyed = []string{"Name", "Topic", "TopicID", "Partition", "Group", "ResourceType", "ResourceName", "ConfigName", "NodeID", "Dir", "ApiKey", "InstanceID", "MemberID", "ClientID"}
)

// lines is an answer as sorted lines "path: value".
func (c *conv) lines(got any) []string {
	if err, ok := got.(error); ok {
		return []string{"outcome: " + err.Error()}
	}
	lines := []string{"outcome: answered"}
	c.flatten("", reflect.ValueOf(got), &lines)
	slices.Sort(lines)
	return lines
}

func (c *conv) flatten(path string, v reflect.Value, lines *[]string) {
	name := path[strings.LastIndexByte(path, '.')+1:]
	if ignored.MatchString(name) {
		return
	}
	add := func(text string) { *lines = append(*lines, strings.TrimPrefix(path, ".")+": "+text) }
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			add("null")
			return
		}
		c.flatten(path, v.Elem(), lines)
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Name != "Version" {
				c.flatten(path+"."+f.Name, v.Field(i), lines)
			}
		}
	case reflect.Slice, reflect.Array:
		if v.Kind() == reflect.Slice && v.IsNil() {
			add("null")
			return
		}
		c.flattenArray(path, name, v, lines, add)
	default:
		text := c.scrub.Replace(uuid.ReplaceAllString(decoded(v.Interface()), "<uuid>"))
		if volatile.MatchString(name) && v.CanInt() && v.Int() > 0 {
			text = "set"
		} else if name == "ClusterID" && v.String() != "" {
			text = "set"
		}
		add(text)
	}
}

func (c *conv) flattenArray(path, name string, v reflect.Value, lines *[]string, add func(string)) {
	switch elem := v.Type().Elem(); {
	case elem.Kind() == reflect.Uint8:
		raw := make([]byte, v.Len())
		reflect.Copy(reflect.ValueOf(raw), v)
		if name == "TopicID" {
			add(map[bool]string{true: "zero", false: "set"}[string(raw) == string(make([]byte, 16))])
			return
		}
		add(hex.EncodeToString(raw))
	case elem.Kind() == reflect.Struct:
		add(fmt.Sprintf("%d elements", v.Len()))
		seen := map[string]int{}
		for i := range v.Len() {
			key := c.elementKey(v.Index(i), i)
			if seen[key]++; seen[key] > 1 {
				key = fmt.Sprintf("%s#%d", key, seen[key])
			}
			c.flatten(fmt.Sprintf("%s[%s]", path, key), v.Index(i), lines)
		}
	default:
		add(fmt.Sprint(v.Interface()))
	}
}

// decoded is a value as text, in which bytes that are no UTF-8 are replaced,
// as Java replaces them when it reads a request.
func decoded(v any) string { return string([]rune(fmt.Sprint(v))) }

// elementKey names an element of an array of structs by what it is about.
func (c *conv) elementKey(v reflect.Value, i int) string {
	var parts []string
	for _, name := range keyed {
		f := v.FieldByName(name)
		if !f.IsValid() {
			continue
		}
		if f.Kind() == reflect.Pointer {
			if f.IsNil() {
				continue
			}
			f = f.Elem()
		}
		if text := decoded(f.Interface()); f.Kind() != reflect.Array {
			parts = append(parts, c.scrub.Replace(uuid.ReplaceAllString(text, "<uuid>")))
		}
	}
	if len(parts) == 0 {
		return fmt.Sprint(i)
	}
	return strings.ReplaceAll(strings.Join(parts, ","), ".", "·")
}

// difference is one row of the table; Versions are those that show it.
type difference struct {
	API, Case, Path, Ours, Theirs string
	Versions                      []string
}

// differences compares what the two sides recorded.
func differences(sides [2]*side) []difference {
	rows := map[difference2]*difference{}
	var order []difference2
	for _, name := range union(sides[0].order, sides[1].order) {
		api, rest, _ := strings.Cut(name, "|")
		version, what, _ := strings.Cut(rest, "|")
		ours, theirs := byPath(sides[0].answers[name]), byPath(sides[1].answers[name])
		for _, path := range slices.Sorted(maps.Keys(merged(ours, theirs))) {
			a, b := orAbsent(ours, path), orAbsent(theirs, path)
			if a == b || (ours["outcome"] != theirs["outcome"] && path != "outcome") {
				continue
			}
			key := difference2{api, what, path, a, b}
			if rows[key] == nil {
				rows[key] = &difference{API: api, Case: what, Path: path, Ours: a, Theirs: b}
				order = append(order, key)
			}
			rows[key].Versions = append(rows[key].Versions, version)
		}
	}
	out := make([]difference, len(order))
	for i, key := range order {
		out[i] = *rows[key]
	}
	return out
}

type difference2 struct{ api, what, path, ours, theirs string }

func byPath(lines []string) map[string]string {
	m := map[string]string{}
	for _, line := range lines {
		path, value, _ := strings.Cut(line, ": ")
		m[path] = value
	}
	return m
}

func orAbsent(m map[string]string, path string) string {
	if v, ok := m[path]; ok {
		return v
	}
	return "(absent)"
}

func merged(a, b map[string]string) map[string]string {
	m := maps.Clone(a)
	maps.Copy(m, b)
	return m
}

func union(a, b []string) []string {
	seen := map[string]bool{}
	var all []string
	for _, s := range append(slices.Clone(a), b...) {
		if !seen[s] {
			seen[s] = true
			all = append(all, s)
		}
	}
	return all
}
