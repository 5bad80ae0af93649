package client

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/model"
)

// serve accepts one connection after the other and hands each to f.
func serve(t *testing.T, f func(net.Conn)) model.Endpoint {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	addr := l.Addr().(*net.TCPAddr)
	return model.Endpoint{Listener: "PLAINTEXT", Host: "127.0.0.1", Port: int32(addr.Port)}
}

func readFrame(c net.Conn) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	frame := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err := io.ReadFull(c, frame)
	return frame, err
}

func writeFrame(c net.Conn, frame []byte) {
	c.Write(binary.BigEndian.AppendUint32(nil, uint32(len(frame))))
	c.Write(frame)
}

func controlledShutdown(version int16) *kmsg.ControlledShutdownRequest {
	req := kmsg.NewPtrControlledShutdownRequest()
	req.Version, req.BrokerID, req.BrokerEpoch = version, 7, 33
	return req
}

// TestHeaderForms pins the bytes of the request header for each form, and
// that the response header of a flexible version is skipped with its tags.
func TestHeaderForms(t *testing.T) {
	for _, tc := range []struct {
		name    string
		version int16
		header  []byte
		answer  []byte // behind the correlation id
	}{
		{"v0, no client id", 0, []byte{0, 7, 0, 0, 0, 0, 0, 0}, []byte{0, 0, 0, 0, 0, 0}},
		{"v1, client id", 1, []byte{0, 7, 0, 1, 0, 0, 0, 0, 0, 1, '3'}, []byte{0, 0, 0, 0, 0, 0}},
		{"v2, client id and tags", 3, []byte{0, 7, 0, 3, 0, 0, 0, 0, 0, 1, '3', 0},
			[]byte{1, 9, 2, 0xaa, 0xbb, 0, 0, 1, 0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			seen := make(chan []byte, 1)
			to := serve(t, func(c net.Conn) {
				frame, err := readFrame(c)
				if err != nil {
					return
				}
				seen <- frame
				writeFrame(c, append(append([]byte(nil), frame[4:8]...), tc.answer...))
			})
			c, err := Dial(t.Context(), to, Options{ClientID: "3", RequestTimeout: 5 * time.Second})
			require.NoError(t, err)
			defer c.Close()
			resp, err := c.Request(t.Context(), controlledShutdown(tc.version))
			require.NoError(t, err)
			require.Equal(t, int16(0), resp.(*kmsg.ControlledShutdownResponse).ErrorCode)
			frame := <-seen
			require.Equal(t, tc.header, frame[:len(tc.header)])
			var body kmsg.ControlledShutdownRequest
			body.Version = tc.version
			require.NoError(t, body.ReadFrom(frame[len(tc.header):]))
			require.Equal(t, int32(7), body.BrokerID)
		})
	}
}

func TestBadAnswersBreakTheConnection(t *testing.T) {
	for _, tc := range []struct {
		name string
		send []byte
		want error
	}{
		{"negative length", []byte{0xff, 0xff, 0xff, 0xff}, ErrProtocol},
		{"huge length", []byte{0x7f, 0xff, 0xff, 0xff}, ErrProtocol},
		{"no room for a correlation id", []byte{0, 0, 0, 3, 0, 0, 0}, ErrProtocol},
		{"another correlation id", []byte{0, 0, 0, 4, 0, 0, 0, 9}, ErrProtocol},
		{"cut body", []byte{0, 0, 0, 5, 0, 0, 0, 0, 0}, ErrProtocol},
		{"more than the answer", []byte{0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0}, ErrProtocol},
		{"closed", nil, io.EOF},
		{"closed within the frame", []byte{0, 0, 0, 9, 0}, io.ErrUnexpectedEOF},
	} {
		t.Run(tc.name, func(t *testing.T) {
			to := serve(t, func(c net.Conn) {
				readFrame(c)
				c.Write(tc.send)
			})
			c, err := Dial(t.Context(), to, Options{RequestTimeout: 5 * time.Second})
			require.NoError(t, err)
			_, err = c.Request(t.Context(), controlledShutdown(1))
			require.ErrorIs(t, err, tc.want)
			_, err = c.Request(t.Context(), controlledShutdown(1))
			require.ErrorIs(t, err, ErrClosed)
		})
	}
}

func TestTimeoutCancelAndClose(t *testing.T) {
	silent := func(c net.Conn) { readFrame(c); io.Copy(io.Discard, c) }
	t.Run("timeout", func(t *testing.T) {
		c, err := Dial(t.Context(), serve(t, silent), Options{RequestTimeout: 30 * time.Millisecond})
		require.NoError(t, err)
		_, err = c.Request(t.Context(), controlledShutdown(1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.ErrorContains(t, err, "ControlledShutdown v1: timed out waiting for the response")
	})
	t.Run("cancel", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		to := serve(t, func(c net.Conn) { readFrame(c); cancel(); io.Copy(io.Discard, c) })
		c, err := Dial(t.Context(), to, Options{})
		require.NoError(t, err)
		_, err = c.Request(ctx, controlledShutdown(1))
		require.ErrorIs(t, err, context.Canceled)
	})
	t.Run("cancelled, and answered all the same", func(t *testing.T) {
		to := serve(t, func(c net.Conn) {
			if _, err := readFrame(c); err == nil {
				writeFrame(c, make([]byte, 10))
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		dial := func(ctx context.Context, to model.Endpoint) (net.Conn, error) {
			raw, err := dialPlaintext(ctx, to)
			return &cancelling{Conn: raw, reads: 1, cancel: cancel}, err
		}
		c, err := Dial(t.Context(), to, Options{Dial: dial})
		require.NoError(t, err)
		_, err = c.Request(ctx, controlledShutdown(1))
		require.ErrorIs(t, err, context.Canceled)
		_, err = c.Request(t.Context(), controlledShutdown(1))
		require.ErrorIs(t, err, ErrClosed)
	})
	t.Run("close", func(t *testing.T) {
		started := make(chan struct{})
		to := serve(t, func(c net.Conn) { readFrame(c); close(started); io.Copy(io.Discard, c) })
		c, err := Dial(t.Context(), to, Options{})
		require.NoError(t, err)
		go func() { <-started; c.Close() }()
		_, err = c.Request(t.Context(), controlledShutdown(1))
		require.ErrorIs(t, err, ErrClosed)
	})
}

// cancelling cancels a context with the read that brings the end of an answer.
type cancelling struct {
	net.Conn
	reads  int
	cancel func()
}

func (c *cancelling) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.reads--; c.reads == 0 {
		c.cancel()
	}
	return n, err
}

func TestDial(t *testing.T) {
	_, err := Dial(t.Context(), model.Endpoint{SecurityProtocol: model.SSL, Host: "127.0.0.1", Port: 1}, Options{})
	require.ErrorContains(t, err, "no way to connect over SSL")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	_, err = Dial(t.Context(), model.Endpoint{Listener: "PLAINTEXT", Host: "127.0.0.1", Port: int32(port)}, Options{})
	require.ErrorContains(t, err, "connecting to PLAINTEXT://127.0.0.1:")
}

func FuzzDecodeResponse(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 1, 0}, int16(3))
	f.Add([]byte{0, 0, 0, 1, 1, 9, 2, 0xaa, 0xbb, 0, 0, 1, 0}, int16(3))
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0xff, 0xff, 0xff, 0xff}, int16(0))
	f.Add([]byte{0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f}, int16(3))
	f.Fuzz(func(t *testing.T, frame []byte, version int16) {
		resp, err := decodeResponse(frame, controlledShutdown(version&3), 1)
		if err != nil {
			require.ErrorIs(t, err, ErrProtocol)
			return
		}
		require.Equal(t, version&3, resp.GetVersion())
	})
}

func TestReceiveBuffer(t *testing.T) {
	to := serve(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	size := func(asked int) int {
		c, err := Dial(t.Context(), to, Options{ReceiveBufferBytes: asked})
		require.NoError(t, err)
		defer c.Close()
		raw, err := c.raw.(*net.TCPConn).SyscallConn()
		require.NoError(t, err)
		var got int
		require.NoError(t, raw.Control(func(fd uintptr) {
			got, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF)
		}))
		require.NoError(t, err)
		return got
	}
	require.Less(t, size(4096), size(32768))
}
