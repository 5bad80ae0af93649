//go:build !linux

package network

import (
	"errors"
	"io"
	"net"

	"gregor/pkg/wire"
)

// canSendfile is false where the system's sendfile takes no offset that suits
// us: regions are copied.
func canSendfile(io.ReaderAt) bool { return false }

func sendfile(*net.TCPConn, *wire.FileRegion) error { return errors.ErrUnsupported }

func writeBuffers(tcp *net.TCPConn, run net.Buffers, _ bool) error {
	_, err := run.WriteTo(tcp)
	return err
}
