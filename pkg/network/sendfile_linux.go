package network

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"gregor/pkg/wire"
)

// canSendfile reports whether the file has a descriptor of the system.
func canSendfile(file io.ReaderAt) bool {
	_, ok := file.(syscall.Conn)
	return ok
}

// sendfile moves a region from the page cache to the socket. The offset is
// passed with every call: the file's own offset is shared by every answer
// that reads the same segment.
func sendfile(tcp *net.TCPConn, region *wire.FileRegion) error {
	in, err := region.File.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	out, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = in.Control(func(infd uintptr) {
		sent = sendRegion(out, int(infd), region.Position, region.Length)
	})
	return errors.Join(err, sent)
}

func sendRegion(out syscall.RawConn, infd int, offset, left int64) error {
	var failed error
	err := out.Write(func(outfd uintptr) bool {
		for left > 0 {
			n, err := unix.Sendfile(int(outfd), infd, &offset, int(min(left, 1<<30)))
			switch {
			case err == unix.EAGAIN:
				return false // called again when the socket takes more
			case err == unix.EINTR:
			case err != nil:
				failed = err
				return true
			case n == 0:
				failed = fmt.Errorf("file ends at %d, %d bytes too early: %w", offset, left, io.ErrUnexpectedEOF)
				return true
			default:
				left -= int64(n)
			}
		}
		return true
	})
	return errors.Join(err, failed)
}

// writeBuffers writes all buffers; with more set the kernel is told that
// bytes follow (MSG_MORE).
func writeBuffers(tcp *net.TCPConn, run net.Buffers, more bool) error {
	if !more {
		_, err := run.WriteTo(tcp)
		return err
	}
	out, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = out.Write(func(fd uintptr) bool {
		for len(run) > 0 {
			var n int
			n, failed = unix.SendmsgBuffers(int(fd), run, nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
			switch failed {
			case nil:
			case unix.EAGAIN:
				failed = nil
				return false
			case unix.EINTR:
				continue
			default:
				return true
			}
			run = consume(run, n)
		}
		return true
	})
	if failed != nil {
		return failed
	}
	return err
}

// consume drops the first n bytes.
func consume(run net.Buffers, n int) net.Buffers {
	for n > 0 {
		if n < len(run[0]) {
			run[0] = run[0][n:]
			return run
		}
		n -= len(run[0])
		run = run[1:]
	}
	return run
}
