// Package wire holds what passes between a connection and the part that
// answers it: requests with their header, answers made of chunks, and pooled
// buffers. It knows nothing of sockets and nothing of any one API.
//
// Life of the bytes: a Request owns one pooled frame; Body and whatever is
// sliced out of it are valid until the connection has written the answer,
// after which the frame goes back to the pool. Who keeps bytes longer copies
// them.
package wire

import (
	"io"
	"net"
	"time"

	"gregor/pkg/model"
)

// Header is the header of a request, all versions of it.
type Header struct {
	Key           int16
	Version       int16
	CorrelationID int32
	ClientID      *string
}

// ClientIDOrEmpty is the client id, "" when the client sent none.
func (h Header) ClientIDOrEmpty() string {
	if h.ClientID == nil {
		return ""
	}
	return *h.ClientID
}

// Peer is who is at the other end of a connection. Software is set by the
// connection's first ApiVersions of version 3 or later (KIP-511).
type Peer struct {
	ConnectionID     string // local host:port-remote host:port-index
	Address          net.Addr
	Host             string // the address without port: "127.0.0.1"
	Listener         string
	SecurityProtocol model.SecurityProtocol
	Principal        string // "User:ANONYMOUS" without authentication
	Privileged       bool   // arrived on the inter-broker or control plane listener
	SoftwareName     string // "unknown" until told
	SoftwareVersion  string
}

// Request is one request as read off a connection.
type Request struct {
	Header
	Body     []byte // behind the header; see the package comment for its life
	Size     int    // of the whole frame without its length field
	Received time.Time
	Peer     *Peer
}

// Answer is what a handler gives back. Exactly one of these holds: Chunks are
// the body of the answer (the connection puts the response header before
// them); None sends nothing and reads on (Produce with acks=0); Close ends
// the connection without an answer.
type Answer struct {
	Chunks   []Chunk
	None     bool
	Close    bool
	Throttle time.Duration // the connection is muted for so long after the answer
}

// Bytes is the answer with one chunk of bytes.
func Bytes(body []byte) Answer { return Answer{Chunks: []Chunk{{Bytes: body}}} }

// Chunk is a piece of an answer: bytes in memory, or else a region of a file.
type Chunk struct {
	Bytes  []byte
	Region *FileRegion
}

// Size is the number of bytes that the chunk puts on the wire.
func (c Chunk) Size() int64 {
	if c.Region != nil {
		return c.Region.Length
	}
	return int64(len(c.Bytes))
}

// FileRegion is a run of bytes in a file. When File is an *os.File the bytes
// leave a plaintext connection by sendfile from Position, never touching the
// file's own offset; otherwise, and under TLS, they are read with ReadAt.
//
// Release, when set, is called exactly once by whoever consumes the answer,
// written or not: it lets the log close and delete the file.
type FileRegion struct {
	File     io.ReaderAt
	Position int64
	Length   int64
	Release  func()
}

// Release gives back every region of the answer.
func (a Answer) Release() {
	for _, c := range a.Chunks {
		if c.Region != nil && c.Region.Release != nil {
			c.Region.Release()
		}
	}
}
