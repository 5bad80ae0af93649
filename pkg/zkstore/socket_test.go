package zkstore

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func words(n ...int32) []byte {
	var b []byte
	for _, v := range n {
		b = binary.BigEndian.AppendUint32(b, uint32(v))
	}
	return b
}

// multiOf builds an answer to a multi: type, done, error before each part.
func multiOf(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func header(kind int32, done byte) []byte { return append(append(words(kind), done), words(0)...) }

// Answers that would end the process or allocate without bound in the client
// library are refused before it sees them.
func TestHostileAnswersAreRefused(t *testing.T) {
	end := header(-1, 1)
	for _, row := range []struct {
		name   string
		opcode int32
		body   []byte
		fails  string
	}{
		{"data", opcodeGetData, append(words(3), 'a', 'b', 'c'), ""},
		{"null data", opcodeGetData, words(-1), ""},
		{"long data", opcodeGetData, words(1 << 30), "data of 1073741824 bytes in 0"},
		{"no data", opcodeGetData, nil, "a length is missing"},
		{"children", opcodeGetChildren2, append(words(1, 1), 'x'), ""},
		{"negative children", opcodeGetChildren2, words(-1), "a list of -1 elements"},
		{"many children", opcodeGetChildren2, words(1<<30, 0), "a list of 1073741824 elements in 4 bytes"},
		{"negative acl", opcodeGetACL, words(-5, 0, 0), "a list of -5 elements"},
		{"multi", opcodeMulti, multiOf(header(opcodeCreate, 0), words(1), []byte("x"), header(opcodeSetData, 0), make([]byte, statSize), header(opcodeCheck, 0), header(opcodeDelete, 0), header(opcodeError, 0), words(-101), end), ""},
		{"multi without end", opcodeMulti, header(opcodeCheck, 0), "a multi without an end"},
		{"empty multi", opcodeMulti, nil, "a multi without an end"},
		{"multi with a cut stat", opcodeMulti, multiOf(header(opcodeSetData, 0), make([]byte, 10), end), "of 68 bytes in 19"},
		{"multi with a long path", opcodeMulti, multiOf(header(opcodeCreate, 0), words(-1), end), "an answer of"},
		{"multi without a path", opcodeMulti, header(opcodeCreate, 0), "a length is missing in a multi"},
		{"multi with a stranger", opcodeMulti, multiOf(header(15, 0), end), "an answer of type 15"},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := checkAnswer(row.opcode, row.body)
			if row.fails == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, row.fails)
			}
		})
	}
}

func TestGreetingIsRead(t *testing.T) {
	greeting := func(timeout int32, id int64, password int32, rest int) []byte {
		b := binary.BigEndian.AppendUint64(words(0, timeout), uint64(id))
		return append(append(b, words(password)...), make([]byte, rest)...)
	}
	read := func(body []byte) (*session, error) {
		s := &session{log: Options{}.withDefaults().Loggers.Logger("x")}
		return s, newSocket(s, nil, "h:1").readGreeting(body)
	}
	s, err := read(greeting(4000, 7, 16, 17))
	require.NoError(t, err)
	id, timeout := s.identity()
	require.EqualValues(t, 7, id)
	require.Equal(t, "4s", timeout.String())
	_, err = read(greeting(0, 0, 16, 16)) // expired: the library reports it
	require.NoError(t, err)
	for _, body := range [][]byte{nil, make([]byte, 19), greeting(0, 7, 16, 16), greeting(-1, 7, 16, 16), greeting(4000, 7, 17, 16)} {
		_, err = read(body)
		require.Error(t, err)
	}
}

// FuzzAnswers: the check itself never panics, and what it lets through is
// within bounds.
func FuzzAnswers(f *testing.F) {
	f.Add(uint8(opcodeMulti), multiOf(header(opcodeCreate, 0), words(1), []byte("x"), header(-1, 1)))
	f.Add(uint8(opcodeGetChildren2), append(words(1, 1), 'x'))
	f.Add(uint8(opcodeGetData), words(-1))
	f.Fuzz(func(t *testing.T, opcode uint8, body []byte) {
		_ = checkAnswer(int32(opcode), body)
		c := &socket{session: &session{}, pending: map[int32]int32{1: int32(opcode)}}
		_ = c.checkReply(body)
	})
}

func TestCodesOfLibraryErrors(t *testing.T) {
	for code := range codeNames {
		text := errorOf(int32(code))
		if text == nil {
			continue
		}
		got, ok := codeOf(text)
		require.True(t, ok)
		require.Equal(t, code, got)
	}
	require.Equal(t, "Unknown error -42", Code(-42).String())
	require.Equal(t, "kafka.zookeeper.ZooKeeperClientTimeoutException", (&TimeoutError{}).JavaClass())
	for code, class := range map[Code]string{CodeSessionExpired: "SessionExpired", CodeSessionMoved: "SessionMoved", CodeReconfigDisabled: "ReconfigDisabled", CodeNodeExists: "NodeExists"} {
		require.Equal(t, "org.apache.zookeeper.KeeperException$"+class+"Exception", (&Error{Code: code}).JavaClass())
	}
}

// errorOf is the library's error for a code that it has no value for.
func errorOf(code int32) error {
	switch Code(code) {
	case CodeRuntimeInconsistency, CodeMarshallingError, CodeUnimplemented, CodeOperationTimeout:
		return fmt.Errorf("unknown error: %v", code)
	}
	return nil
}

// An answer beyond the limit fails its request and nothing else.
func TestTooLongAnswersAreSkipped(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	s := &session{log: Options{}.withDefaults().Loggers.Logger("x")}
	c := newSocket(s, near, "h:1")
	c.greeted = true
	c.pending[9] = opcodeGetChildren2
	go func() {
		far.Write(append(words(maxFrame+1, 9, 0, 0, 0), make([]byte, maxFrame+1-replyHeaderSize)...))
		far.Write(words(replyHeaderSize, 10, 0, 0, 0))
		far.Write(words(maxSkipped + 1))
	}()
	got := make([]byte, 4+replyHeaderSize)
	_, err := io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, words(replyHeaderSize, 9, 0, 0, int32(CodeMarshallingError)), got)
	require.Empty(t, c.pending)
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, words(replyHeaderSize, 10, 0, 0, 0), got)
	_, err = c.Read(got)
	require.ErrorContains(t, err, "frame of 268435457 bytes")
}
