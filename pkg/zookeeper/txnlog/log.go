package txnlog

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"io"
	"os"
	"path/filepath"

	"gregor/pkg/zookeeper/jute"
)

// The transaction log; all of this is part of the format.
//
//	header  int 0x5A4B4C47 "ZKLG" | int 2 | long 0
//	record  long checksum | int length | payload | byte 0x42
//	...
//	zeros to the end of the file
//
// The checksum is the Adler-32 of the payload, which is a jute.Txn. The file
// is named after the zxid of its first record, and grown ahead of the records
// in steps, by one zero byte at its new end. A length of 0, or a record that
// does not end in 0x42, is the end.
const (
	logMagic      = 0x5A4B4C47
	formatVersion = 2
	logHeaderSize = 16
	recordHead    = 12
	recordEnd     = 0x42
	// growthMargin: the file grows when less than this is left in it.
	growthMargin = 4096
	// lengthChecked: longer records are looked at from their end before
	// memory is taken for them.
	lengthChecked = 1 << 20
)

// ErrCorrupt says that a file holds something that no crash leaves.
var ErrCorrupt = errors.New("corrupt")

// AppendRecord appends a transaction to b as a record.
func AppendRecord(b []byte, txn *jute.Txn) []byte {
	start := len(b)
	e := jute.Encoder{B: append(b, make([]byte, recordHead)...)}
	txn.Encode(&e)
	payload := e.B[start+recordHead:]
	binary.BigEndian.PutUint64(e.B[start:], uint64(adler32.Checksum(payload)))
	binary.BigEndian.PutUint32(e.B[start+8:], uint32(len(payload)))
	return append(e.B, recordEnd)
}

// Writer appends to the transaction log. It never appends to a file that it
// did not create. After an error it must not be used any more.
type Writer struct {
	dir      string
	growth   int64
	onCreate func(name string)

	file *os.File // nil: the next record opens a new one
	end  int64    // where the next record goes
	size int64    // to where the file is grown
}

// NewWriter returns a writer for a directory. growth is the step in which
// files grow; onCreate is told of every new file.
func NewWriter(dir string, growth int64, onCreate func(name string)) *Writer {
	return &Writer{dir: dir, growth: growth, onCreate: onCreate}
}

// Append writes records, the first of which has the given zxid. They are on
// disk after Sync.
func (w *Writer) Append(firstZxid int64, records []byte) error {
	if w.file == nil {
		if err := w.create(firstZxid); err != nil {
			return err
		}
	}
	if err := w.grow(int64(len(records))); err != nil {
		return err
	}
	if _, err := w.file.WriteAt(records, w.end); err != nil {
		return err
	}
	w.end += int64(len(records))
	return nil
}

// create makes a new file. It gets its name when its header is on disk, so
// that no crash leaves a file that cannot be read.
func (w *Writer) create(zxid int64) (err error) {
	name := logName(zxid)
	temp := filepath.Join(w.dir, "."+name+".tmp")
	file, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	var header [logHeaderSize]byte
	binary.BigEndian.PutUint32(header[0:], logMagic)
	binary.BigEndian.PutUint32(header[4:], formatVersion)
	if _, err := file.Write(header[:]); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(temp, filepath.Join(w.dir, name)); err != nil {
		return err
	}
	if err := syncDir(w.dir); err != nil {
		return err
	}
	w.file, w.end, w.size = file, logHeaderSize, logHeaderSize
	w.onCreate(name)
	return nil
}

// grow makes room for n more bytes.
func (w *Writer) grow(n int64) error {
	if w.growth <= 0 || w.end+n+growthMargin < w.size {
		return nil
	}
	size := w.size + w.growth
	if w.end+n >= size {
		size = (w.end + n + w.growth) / w.growth * w.growth
	}
	if _, err := w.file.WriteAt([]byte{0}, size-1); err != nil {
		return err
	}
	w.size = size
	return nil
}

// Sync waits until everything that was appended is on disk. When it fails
// nobody knows what is.
func (w *Writer) Sync() error {
	if w.file == nil {
		return nil
	}
	return syncData(w.file)
}

// Size is the length of the present file's records.
func (w *Writer) Size() int64 { return w.end }

// Roll makes the next record open a new file. What was appended must have
// been synced.
func (w *Writer) Roll() error {
	if w.file == nil {
		return nil
	}
	file := w.file
	w.file, w.end, w.size = nil, 0, 0
	return file.Close()
}

// Close closes the present file. What was appended must have been synced.
func (w *Writer) Close() error { return w.Roll() }

// Tail is how a log file ended.
type Tail struct {
	Offset int64 // behind the last good record
	// Torn says what is left there of a record that was never finished; ""
	// when nothing is.
	Torn string
}

// ReadLog calls apply for each transaction of a file in order. It fails with
// ErrCorrupt on what no crash leaves, with apply's error, or on I/O errors.
func ReadLog(path string, apply func(txn *jute.Txn) error) (Tail, error) {
	file, err := os.Open(path)
	if err != nil {
		return Tail{}, err
	}
	info, err := file.Stat()
	if err != nil {
		return Tail{}, errors.Join(err, file.Close())
	}
	tail, err := readLog(file, info.Size(), apply)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return tail, errors.Join(err, file.Close())
}

// readLog is ReadLog for the bytes of a file.
func readLog(file io.ReaderAt, size int64, apply func(txn *jute.Txn) error) (Tail, error) {
	r := &logReader{file: file, r: bufio.NewReaderSize(io.NewSectionReader(file, 0, size), 1<<16), size: size}
	tail, err := r.read(apply)
	if err != nil {
		err = fmt.Errorf("at byte %d: %w", r.off, err)
	}
	return tail, err
}

type logReader struct {
	file io.ReaderAt
	r    *bufio.Reader
	size int64
	off  int64 // of the record being read
}

// errShortHeader is what a log file gives that ends inside its header.
var errShortHeader = fmt.Errorf("%w: the file ends inside its header", ErrCorrupt)

func (r *logReader) read(apply func(txn *jute.Txn) error) (Tail, error) {
	var header [logHeaderSize]byte
	if _, err := io.ReadFull(r.r, header[:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return Tail{}, errShortHeader
		}
		return Tail{}, err
	}
	if magic := binary.BigEndian.Uint32(header[:]); magic != logMagic {
		return Tail{}, fmt.Errorf("%w: it begins with %08x, want %08x", ErrCorrupt, magic, logMagic)
	}
	r.off = logHeaderSize
	for {
		payload, torn, err := r.record()
		if err != nil {
			return Tail{}, err
		}
		if payload == nil {
			return Tail{r.off, torn}, nil
		}
		txn, err := jute.DecodeTxn(payload)
		if err != nil {
			return Tail{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		if err := apply(txn); err != nil {
			return Tail{}, err
		}
		r.off += recordHead + int64(len(payload)) + 1
	}
}

// record reads the next record's payload. A nil payload is the end of the
// log; torn then says what is left of an unfinished record.
func (r *logReader) record() (payload []byte, torn string, err error) {
	var head [recordHead]byte
	if n, err := io.ReadFull(r.r, head[:]); err != nil {
		if n > 0 && errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, "the file ends inside a record's head", nil
		}
		return nil, "", ignoreEOF(err)
	}
	length := int32(binary.BigEndian.Uint32(head[8:]))
	left := r.size - r.off - recordHead
	switch {
	case length == 0 && binary.BigEndian.Uint64(head[:]) == 0:
		return nil, "", nil
	case length == 0:
		return nil, "a checksum without a length", nil
	case length < 0:
		return nil, "", fmt.Errorf("%w: a record of length %d", ErrCorrupt, length)
	case int64(length)+1 > left:
		return nil, "the file ends inside a record", nil
	}
	if length > lengthChecked {
		var end [1]byte
		if _, err := r.file.ReadAt(end[:], r.off+recordHead+int64(length)); err != nil {
			return nil, "", err
		}
		if end[0] != recordEnd {
			return nil, "a record without its end", nil
		}
	}
	b := make([]byte, length+1)
	if _, err := io.ReadFull(r.r, b); err != nil {
		return nil, "", err
	}
	payload = b[:length]
	if b[length] != recordEnd {
		return nil, "a record without its end", r.nothingFollows()
	}
	if want, got := binary.BigEndian.Uint64(head[:]), uint64(adler32.Checksum(payload)); want != got {
		return nil, "", fmt.Errorf("%w: a record's checksum is %08x, want %08x", ErrCorrupt, got, want)
	}
	return payload, "", nil
}

// nothingFollows is called behind a record that lacks its end. When a sound
// record follows, the lost end is damage and not the place of a crash.
func (r *logReader) nothingFollows() error {
	var head [recordHead]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		return ignoreEOF(err)
	}
	length := int32(binary.BigEndian.Uint32(head[8:]))
	if length <= 0 || length > lengthChecked {
		return nil
	}
	b := make([]byte, length+1)
	if _, err := io.ReadFull(r.r, b); err != nil {
		return ignoreEOF(err)
	}
	if b[length] == recordEnd && binary.BigEndian.Uint64(head[:]) == uint64(adler32.Checksum(b[:length])) {
		return fmt.Errorf("%w: the end of a record is damaged and sound records follow it", ErrCorrupt)
	}
	return nil
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
