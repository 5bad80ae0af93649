package record

import "gregor/pkg/compress"

// packer collects the records of a batch, behind room for its header, and
// compresses them: at once while they are few, as they come when they are
// many, so that no more than the compressed form and packWhole is held.
type packer struct {
	codec  compress.Codec
	head   int
	buf    []byte          // room for the header, then what is not compressed yet
	stream compress.Writer // nil while it is little
	out    []byte          // what was compressed at once
	err    error
}

const packWhole = 1 << 20

// start forgets everything but the memory.
func (p *packer) start(codec compress.Codec, head int) {
	if cap(p.buf) < head {
		p.buf = make([]byte, head, 4<<10)
	}
	p.codec, p.head, p.stream, p.err = codec, head, nil, nil
	p.buf = p.buf[:head]
	clear(p.buf)
}

// size is about the size of the batch so far.
func (p *packer) size() int {
	if p.stream == nil {
		return len(p.buf)
	}
	return p.stream.Len() + len(p.buf) - p.head
}

// spill compresses what has come in if it is much.
func (p *packer) spill() {
	if p.codec == compress.None || len(p.buf)-p.head < packWhole || p.err != nil {
		return
	}
	if p.stream == nil {
		if p.stream, p.err = compress.NewWriter(p.codec, make([]byte, p.head, packWhole)); p.err != nil {
			return
		}
	}
	_, p.err = p.stream.Write(p.buf[p.head:])
	p.buf = p.buf[:p.head]
}

// finish returns the room for the header and the compressed records, valid
// until the next start.
func (p *packer) finish() ([]byte, error) {
	switch {
	case p.err != nil:
		return nil, p.err
	case p.stream != nil:
		if _, err := p.stream.Write(p.buf[p.head:]); err != nil {
			return nil, err
		}
		return p.stream.Close()
	case p.codec == compress.None:
		return p.buf, nil
	}
	if most := p.head + 64 + (len(p.buf)-p.head)/2; cap(p.out) < most {
		p.out = make([]byte, 0, most)
	}
	room := p.out[:p.head]
	clear(room)
	out, err := compress.Compress(p.codec, room, p.buf[p.head:])
	if err == nil {
		p.out = out
	}
	return out, err
}
