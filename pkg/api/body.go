package api

import (
	"github.com/twmb/franz-go/pkg/kbin"
)

// body reads the body of a request that is walked by hand: Produce and Fetch,
// whose records are not to be copied and whose decoding is not to allocate.
// Slices point into the frame. After a mistake in the bytes everything reads
// as zero and ok is false; array lengths are never more than what the bytes
// left over could hold, so that nothing large is allocated on a claim.
type body struct {
	kbin.Reader
	flexible bool
}

func newBody(frame []byte, flexible bool) body {
	return body{kbin.Reader{Src: frame}, flexible}
}

// array reads the length of an array whose elements have at least minSize
// bytes. Null, and any length below zero, is a mistake.
func (b *body) array(minSize int) int {
	n := b.nullableArray()
	if n < 0 || int(n) > len(b.Src)/minSize {
		b.fail()
		return 0
	}
	return int(n)
}

// nullableArray reads the length of an array that may be null, which is a
// negative one; it is not bounded.
func (b *body) nullableArray() int32 {
	if b.flexible {
		return b.CompactArrayLen()
	}
	return b.ArrayLen()
}

// name reads a string as the bytes in the frame.
func (b *body) name() []byte {
	if b.flexible {
		n := int(b.Uvarint()) - 1
		if n < 0 {
			b.fail()
			return nil
		}
		return b.Span(n)
	}
	n := int(b.Int16())
	if n < 0 {
		b.fail()
		return nil
	}
	return b.Span(n)
}

// nullableName is name for a field that may be null; it reports whether it
// is not.
func (b *body) nullableName() ([]byte, bool) {
	n := 0
	if b.flexible {
		n = int(b.Uvarint()) - 1
	} else {
		n = int(b.Int16())
	}
	if n < 0 {
		if n != -1 {
			b.fail()
		}
		return nil, false
	}
	return b.Span(n), true
}

// records reads a nullable run of bytes as the bytes in the frame.
func (b *body) records() []byte {
	if b.flexible {
		return b.CompactNullableBytes()
	}
	return b.NullableBytes()
}

// tags skips the tagged fields of a flexible version.
func (b *body) tags() {
	if !b.flexible {
		return
	}
	for n := b.Uvarint(); n > 0 && b.Ok(); n-- {
		b.Uvarint()
		b.Span(int(b.Uvarint()))
	}
}

// fail makes everything that follows read as zero.
func (b *body) fail() { b.Span(len(b.Src) + 1) }

// appendArrayLen appends the length of an array that is not null.
func appendArrayLen(dst []byte, flexible bool, n int) []byte {
	if flexible {
		return kbin.AppendCompactArrayLen(dst, n)
	}
	return kbin.AppendArrayLen(dst, n)
}

func appendName(dst []byte, flexible bool, name string) []byte {
	if flexible {
		return kbin.AppendCompactString(dst, name)
	}
	return kbin.AppendString(dst, name)
}

func appendNullableString(dst []byte, flexible bool, s *string) []byte {
	if flexible {
		return kbin.AppendCompactNullableString(dst, s)
	}
	return kbin.AppendNullableString(dst, s)
}

// appendTags appends an empty section of tagged fields.
func appendTags(dst []byte, flexible bool) []byte {
	if flexible {
		return append(dst, 0)
	}
	return dst
}
