//go:build bench

package bench

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// bareDir in the environment makes this test program the bare server.
const bareDir = "GREGOR_BENCH_BARE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(bareDir); dir != "" {
		fmt.Fprintln(os.Stderr, serveBare(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// bare starts what no broker can be cheaper than: a server that reads a
// frame, takes the CRC of it, writes it to a file and answers.
func bare(t testing.TB) *side {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	s := &side{name: "bare", dir: t.TempDir()}
	s.process = start(t, program, nil, bareDir+"="+s.dir)
	for s.address == "" {
		s.alive()
		address, whole := strings.CutSuffix(s.output(), "\n")
		if whole {
			s.address = address
		}
	}
	return s
}

func serveBare(dir string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	for n := 0; ; n++ {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			if err := serveOne(conn, filepath.Join(dir, fmt.Sprint("log-", n))); err != nil && err != io.EOF {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}()
	}
}

// serveOne answers one client as a broker would, into a new file.
func serveOne(conn net.Conn, path string) error {
	defer conn.Close()
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	defer file.Close()
	answer := bareAnswer()
	reader := bufio.NewReaderSize(conn, 4<<10)
	frame := make([]byte, 4<<20)
	for table, at := crc32.MakeTable(crc32.Castagnoli), int64(0); ; {
		var head [4]byte
		if _, err := io.ReadFull(reader, head[:]); err != nil {
			return err
		}
		body := frame[:binary.BigEndian.Uint32(head[:])]
		if _, err := io.ReadFull(reader, body); err != nil {
			return err
		}
		// The sum goes into the file, so that it is not optimised away.
		binary.BigEndian.PutUint32(body, crc32.Checksum(body, table))
		if _, err := file.WriteAt(body, at); err != nil {
			return err
		}
		at += int64(len(body))
		if _, err := conn.Write(answer); err != nil {
			return err
		}
	}
}

// bareAnswer is the answer to a produceFrame.
func bareAnswer() []byte {
	resp := kmsg.NewPtrProduceResponse()
	resp.SetVersion(7)
	topic := kmsg.NewProduceResponseTopic()
	topic.Topic = "topic"
	topic.Partitions = append(topic.Partitions, kmsg.NewProduceResponseTopicPartition())
	resp.Topics = append(resp.Topics, topic)
	body := resp.AppendTo([]byte{0, 0, 0, 0, 0, 0, 0, 1})
	binary.BigEndian.PutUint32(body, uint32(len(body)-4))
	return body
}
