//go:build compat

package compat

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/protocol"
)

// TestFramesAgainstTheOriginal sends bytes that are no proper requests; the
// outcome is the original's, and our memory stays where it was.
func TestFramesAgainstTheOriginal(t *testing.T) {
	sides := pair(t, nil)
	hold(t, sides, func(c *conv) {
		registered(c)
		ask[*kmsg.CreateTopicsResponse](c, "prepare", 4, creating("plain", 1))
		coordinator(c)
	})
	hold(t, sides, rawFrames)
	hold(t, sides, headers)
	hold(t, sides, bodies)
	hold(t, sides, crowd)
	for _, d := range differences(sides) {
		if acceptedFrame(d) == "" {
			t.Errorf("%s | %s | %s | %s | %s | %s", d.API, strings.Join(d.Versions, ","), d.Case, d.Path, shorten(d.Ours), shorten(d.Theirs))
		}
	}
	t.Logf("%d outcomes", len(sides[0].order))
	require.Less(t, residentMax(t, sides[0]), 200<<10, "KiB that our broker took at most")
}

// acceptedFrame gives the reason why a difference is meant, or "".
func acceptedFrame(d difference) string {
	switch {
	case d.Theirs == "no answer" && d.Ours == "closed":
		return "the original fails inside and leaves its client waiting"
	case d.API == "ListOffsets" && strings.HasSuffix(d.Case, " at 1"), d.API == "Fetch" && strings.HasSuffix(d.Case, " at 16"):
		return "an unknown isolation level counts as read_uncommitted; the original fails inside"
	case d.API == "OffsetFetch" && strings.HasPrefix(d.Path, "Topics"):
		return "a topic without partitions is answered as such; the original leaves it out"
	case d.Case == "tags ffffffff0f":
		return "the original takes 2^32-1 tagged fields for none"
	case d.Theirs == "-1" && strings.HasSuffix(d.Path, "ErrorCode"):
		return "we say what is wrong where the original only says UNKNOWN_SERVER_ERROR"
	}
	return ""
}

// residentMax is how many KiB the side's process took at most.
func residentMax(t *testing.T, s *side) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid))
	require.NoError(t, err)
	for line := range strings.Lines(string(status)) {
		if kib, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.Atoi(strings.Fields(kib)[0])
			require.NoError(t, err)
			return n
		}
	}
	require.Fail(t, "no VmHWM")
	return 0
}

// outcome writes bytes on a connection of its own and tells what comes back:
// the answer, "closed", or "waits" when there is none within the time.
func (c *conv) outcome(raw []byte, half bool) string {
	conn, err := net.DialTimeout("tcp", c.address, 5*time.Second)
	if err != nil {
		return err.Error()
	}
	o := c.other()
	o.conn = conn
	defer o.close()
	if o.write(raw) != nil {
		return "closed"
	}
	if half {
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			return err.Error()
		}
	}
	answer, err := o.read(3 * time.Second)
	switch {
	case err != nil && err.Error() == "no answer":
		return "waits"
	case err != nil:
		return "closed"
	case len(answer) > 40:
		return "a long answer"
	}
	return hex.EncodeToString(answer)
}

func sized(size int32, rest ...byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(size)), rest...)
}

// rawFrames are wrong from their first bytes on.
func rawFrames(c *conv) {
	cases := map[string][]byte{
		"size -1": sized(-1), "size min": sized(-1 << 31), "size 0": sized(0), "size 1": sized(1, 0), "size max": sized(1<<31 - 1),
		"size above the limit": sized(104857601), "size at the limit": sized(104857600), "two bytes": {0, 0}, "size 7": sized(7, 0, 3, 0, 0, 0, 0, 0),
		"size 8, metadata": sized(8, 0, 3, 0, 1, 0, 0, 0, 1), "half a frame": sized(100, 0, 3, 0, 1), "nothing": {},
	}
	var wg sync.WaitGroup
	for what, raw := range cases {
		for _, half := range []bool{false, true} {
			wg.Go(func() {
				c.record(fmt.Sprintf("frame||%s, half closed %t", what, half), []string{"outcome: " + c.outcome(raw, half)})
			})
		}
	}
	wg.Wait()
}

// headers have keys and versions that do not exist, or are cut.
func headers(c *conv) {
	type header struct{ key, version int16 }
	var all []header
	for _, key := range []int16{-1, -32768, 52, 53, 58, 59, 62, 64, 65, 68, 999, 32767} {
		all = append(all, header{key, 0}, header{key, 1}, header{key, -1})
	}
	for key, r := range c.common {
		if key != protocol.KeyApiVersions {
			all = append(all, header{key, r[1] + 1}, header{key, -1}, header{key, 32767})
		}
	}
	all = append(all, header{18, 4}, header{18, 99}, header{18, 32767}, header{18, -1})
	var wg sync.WaitGroup
	slots := make(chan struct{}, 16)
	try := func(what string, frame []byte) {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			c.record("header||"+what, []string{"outcome: " + c.outcome(append(sized(int32(len(frame))), frame...), false)})
		})
	}
	for _, h := range all {
		frame := binary.BigEndian.AppendUint16(nil, uint16(h.key))
		frame = binary.BigEndian.AppendUint16(frame, uint16(h.version))
		try(fmt.Sprintf("key %d version %d", h.key, h.version), append(frame, 0, 0, 0, 7, 0, 1, 'c', 0, 0, 0, 0))
	}
	for _, client := range []int16{-2, -32768, 32767, 9} { // a length that is not true
		try(fmt.Sprint("client id of ", client), binary.BigEndian.AppendUint16([]byte{0, 3, 0, 1, 0, 0, 0, 7}, uint16(client)))
	}
	for _, tags := range [][]byte{{1}, {1, 0, 5}, {255, 255, 255, 255, 15}, {1, 9, 1, 7, 0}, {0x80}, {2, 0, 0, 0, 0}} {
		frame := append([]byte{0, 60, 0, 0, 0, 0, 0, 7, 255, 255}, tags...)
		try(fmt.Sprintf("tags %x", tags), append(frame, 0, 0))
	}
	wg.Wait()
}

// bodies cuts sound requests at every byte, appends to them, and puts lengths
// that are not true everywhere.
func bodies(c *conv) {
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr("plain")
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.Topics, metadata.AllowAutoTopicCreation = []kmsg.MetadataRequestTopic{topic}, false
	list := kmsg.NewPtrListOffsetsRequest()
	list.ReplicaID, list.Topics = -1, []kmsg.ListOffsetsRequestTopic{{Topic: "plain", Partitions: []kmsg.ListOffsetsRequestTopicPartition{{Timestamp: -1, CurrentLeaderEpoch: -1}}}}
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKey = "g"
	for _, sample := range []kmsg.Request{metadata, list, find, describingGroups("g"), beating("g", "m", 1, nil), fetchingOffsets("g", "plain", 0),
		describing(nil, resource(ofTopic, "plain", "retention.ms")), fetching(nil, fetchOf{"plain", 0, 0, 1000, -1}), leaving("g", "m", nil), syncing("g", "m", 1, "m")} {
		r := c.common[sample.Key()]
		for _, version := range []int16{r[0], r[1]} {
			if sample.Key() == 3 && version < 4 {
				version = 4 // older ones create topics by any name
			}
			c.bodiesOf(version, sample)
		}
	}
}

func (c *conv) bodiesOf(version int16, sample kmsg.Request) {
	payload := c.encode(version, sample)
	head := len(payload) - len(sample.AppendTo(nil))
	try := func(what string, payload []byte) {
		payload = append([]byte(nil), payload...)
		c.id++
		binary.BigEndian.PutUint32(payload[4:], uint32(c.id))
		answer, err := c.frame(payload)
		var got any = err
		if err == nil {
			got = c.decode(version, sample, answer)
		}
		c.record(label(sample, version, what), c.lines(got))
	}
	for end := head; end < len(payload); end++ {
		try(fmt.Sprint("cut at ", end-head), payload[:end])
	}
	try("three bytes more", append(payload[:len(payload):len(payload)], 1, 2, 3))
	for at := head; at+4 <= len(payload); at++ {
		if sample.Key() == 1 && at < head+16 {
			continue // replica id, waits and limits
		}
		for _, length := range []uint32{0x7fffffff, 0xfffffffe, 0x00ffffff} {
			wrong := append([]byte(nil), payload...)
			binary.BigEndian.PutUint32(wrong[at:], length)
			try(fmt.Sprintf("%x at %d", length, at-head), wrong)
		}
	}
}

// crowd opens many connections at once, leaves some of them in the middle of
// a frame, and speaks slowly on others.
func crowd(c *conv) {
	var wg sync.WaitGroup
	answered := make(chan bool, 400)
	for i := range 400 {
		wg.Go(func() {
			o := c.other()
			defer o.close()
			frame := o.encode(0, kmsg.NewPtrApiVersionsRequest())
			whole := append(sized(int32(len(frame))), frame...)
			switch i % 4 {
			case 0: // never goes on
				answered <- o.write(whole[:5+i%3]) == nil
				return
			case 1: // byte for byte
				for k := range whole {
					if o.write(whole[k:k+1]) != nil {
						break
					}
				}
			default:
				_ = o.write(whole) // the read tells
			}
			_, err := o.read(answerMax)
			answered <- err == nil
		})
	}
	wg.Wait()
	close(answered)
	n := 0
	for ok := range answered {
		if ok {
			n++
		}
	}
	if c.name == string(gregor) && n != 400 {
		c.t.Errorf("%d of 400 connections were answered", n)
	}
}
