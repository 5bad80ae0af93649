package cli

import (
	"encoding/binary"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/protocol"
)

// wireBroker speaks Kafka's protocol on a loopback port: ApiVersions and
// Metadata by itself, everything else as the test says. It stands for a
// cluster of one broker, which is also the controller.
type wireBroker struct {
	t    *testing.T
	addr string
	id   int32

	// answers are by API key; a nil response closes the connection.
	answers map[int16]func(req kmsg.Request) kmsg.Response
	// versions narrows what is announced for an API; a maximum of -1 hides it.
	versions map[int16]versionRange
	// old refuses ApiVersions above v0, as brokers before 2.4 do.
	old bool
	// topics are what Metadata shows.
	topics []kmsg.MetadataResponseTopic

	turn     sync.Mutex // one answer at a time; before mu
	mu       sync.Mutex
	requests []kmsg.Request
}

func newWireBroker(t *testing.T) *wireBroker {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b := &wireBroker{t: t, addr: listener.Addr().String(), answers: map[int16]func(kmsg.Request) kmsg.Response{}, versions: map[int16]versionRange{}}
	var connections sync.WaitGroup
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Go(func() {
				defer conn.Close()
				b.serve(conn)
			})
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-accepting
		connections.Wait()
	})
	return b
}

func (b *wireBroker) serve(conn net.Conn) {
	for {
		var size [4]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(conn, frame); err != nil {
			return
		}
		key, version := int16(binary.BigEndian.Uint16(frame)), int16(binary.BigEndian.Uint16(frame[2:]))
		req := kmsg.RequestForKey(key)
		if key == 18 && version > 0 && b.old {
			conn.Write(append([]byte{0, 0, 0, 10}, append(frame[4:8:8], 0, 35, 0, 0, 0, 0)...))
			continue
		}
		req.SetVersion(version)
		body := frame[10+binary.BigEndian.Uint16(frame[8:]):]
		if req.IsFlexible() {
			body = body[1:]
		}
		if req.ReadFrom(body) != nil {
			return
		}
		resp := b.answer(req)
		if resp == nil {
			return
		}
		resp.SetVersion(version)
		out := append([]byte(nil), 0, 0, 0, 0)
		out = append(out, frame[4:8]...)
		if req.IsFlexible() && key != 18 {
			out = append(out, 0)
		}
		out = resp.AppendTo(out)
		binary.BigEndian.PutUint32(out, uint32(len(out)-4))
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

func (b *wireBroker) answer(req kmsg.Request) kmsg.Response {
	b.turn.Lock()
	defer b.turn.Unlock()
	b.mu.Lock()
	b.requests = append(b.requests, req)
	b.mu.Unlock()
	if answer := b.answers[req.Key()]; answer != nil {
		return answer(req)
	}
	switch req := req.(type) {
	case *kmsg.ApiVersionsRequest:
		return b.apiVersions()
	case *kmsg.MetadataRequest:
		return b.metadata(req)
	}
	return nil
}

func (b *wireBroker) apiVersions() kmsg.Response {
	resp := kmsg.NewPtrApiVersionsResponse()
	for _, api := range protocol.All() {
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MinVersion, k.MaxVersion = api.Key, api.Min, api.Max
		if narrow, ok := b.versions[api.Key]; ok {
			k.MinVersion, k.MaxVersion = narrow.min, narrow.max
		}
		if k.MaxVersion >= 0 {
			resp.ApiKeys = append(resp.ApiKeys, k)
		}
	}
	return resp
}

func (b *wireBroker) metadata(req *kmsg.MetadataRequest) kmsg.Response {
	host, port, err := net.SplitHostPort(b.addr)
	require.NoError(b.t, err)
	n, err := strconv.Atoi(port)
	require.NoError(b.t, err)
	resp := kmsg.NewPtrMetadataResponse()
	self := kmsg.NewMetadataResponseBroker()
	self.NodeID, self.Host, self.Port = b.id, host, int32(n)
	resp.Brokers, resp.ControllerID = append(resp.Brokers, self), b.id
	for _, topic := range b.topics {
		if req.Topics == nil || slices.ContainsFunc(req.Topics, func(asked kmsg.MetadataRequestTopic) bool { return *asked.Topic == *topic.Topic }) {
			resp.Topics = append(resp.Topics, topic)
		}
	}
	return resp
}

// asked are the requests of an API, in order.
func (b *wireBroker) asked(key int16) []kmsg.Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []kmsg.Request
	for _, req := range b.requests {
		if req.Key() == key {
			found = append(found, req)
		}
	}
	return found
}

// wireTopic makes a topic of Metadata; each partition is "leader replicas isr".
func wireTopic(name string, partitions ...string) kmsg.MetadataResponseTopic {
	t := kmsg.NewMetadataResponseTopic()
	t.Topic = kmsg.StringPtr(name)
	ids := func(list string) (out []int32) {
		for word := range strings.SplitSeq(list, ",") {
			n, _ := strconv.Atoi(word)
			out = append(out, int32(n))
		}
		return out
	}
	for i, text := range partitions {
		words := strings.Fields(text)
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Partition, p.Leader, p.Replicas, p.ISR = int32(i), ids(words[0])[0], ids(words[1]), ids(words[2])
		t.Partitions = append(t.Partitions, p)
	}
	return t
}

// logTime is the time in front of a log line.
var logTime = regexp.MustCompile(`(?m)^\[[0-9-]{10} [0-9:,]{12}\]`)

// run runs a command line against the broker: BROKER stands for its address.
func (b *wireBroker) run(line string) string {
	return transcript(strings.ReplaceAll(line, "BROKER", b.addr))
}

// transcript runs a command line and writes what it left: standard output,
// standard error with "2> " before each line, and a status other than 0.
func transcript(line string) string {
	stdout, stderr, status := invoke("", shellWords(line)...)
	var out strings.Builder
	out.WriteString(stdout)
	for text := range strings.SplitSeq(strings.TrimSuffix(logTime.ReplaceAllString(stderr, "<time>"), "\n"), "\n") {
		if stderr != "" {
			out.WriteString("2> " + text + "\n")
		}
	}
	if status != 0 {
		out.WriteString("(exit " + strconv.Itoa(status) + ")\n")
	}
	return out.String()
}

// shellWords splits at blanks; single quotes keep words together.
func shellWords(line string) []string {
	var words []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words[len(words)-1] += part
			continue
		}
		fields := strings.Fields(part)
		if i > 0 && len(fields) > 0 && !strings.HasPrefix(part, " ") {
			words[len(words)-1] += fields[0]
			fields = fields[1:]
		}
		words = append(words, fields...)
		if strings.HasSuffix(part, " ") {
			words = append(words, "")
		}
	}
	if len(words) > 0 && words[len(words)-1] == "" && !strings.HasSuffix(line, "''") {
		words = words[:len(words)-1]
	}
	return words
}

// withoutHelp cuts off the table of options.
func withoutHelp(transcript string) string {
	before, after, found := strings.Cut(transcript, "2> Option  ")
	if !found {
		return transcript
	}
	return before + "2> <usage>\n" + after[strings.Index(after, "(exit"):]
}
