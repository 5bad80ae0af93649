package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// maxPropertiesBytes bounds a file that is read; no real one comes near.
const maxPropertiesBytes = 16 << 20

// Properties is what a properties file says, read by the rules of
// java.util.Properties, with the line of each key.
//
// The rules: the file is ISO-8859-1. Space, tab and form feed at the start of
// a line are dropped. A line that begins with # or ! is a comment. A line that
// ends in an odd number of backslashes goes on in the next one. The key ends
// at the first =, : or white space that has no backslash before it; white
// space around that one separator is dropped; the rest, blanks at its end
// included, is the value. \t \n \r \f and \uXXXX are escapes, any other
// backslash goes away. The last of two equal keys counts.
type Properties struct {
	path   string
	values map[string]string
	lines  map[string]int
	keys   []string // in the order in which each first appears
}

// NewProperties returns properties without a file, for tests and tools.
func NewProperties(values map[string]string) *Properties {
	p := emptyProperties("")
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		p.put(key, values[key], 0)
	}
	return p
}

func emptyProperties(path string) *Properties {
	return &Properties{path: path, values: map[string]string{}, lines: map[string]int{}}
}

// ReadProperties reads a file. The error of a missing file has the class and
// text that Kafka prints.
func ReadProperties(path string) (*Properties, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPropertiesBytes+1))
	if err != nil {
		return nil, unreadable(path, err)
	}
	if len(text) > maxPropertiesBytes {
		return nil, &Error{Class: "java.io.IOException", Text: fmt.Sprintf("%s is larger than %d bytes", path, maxPropertiesBytes)}
	}
	return ParseProperties(path, text)
}

// unreadable is the exception of Java for a file that cannot be read.
func unreadable(path string, err error) error {
	e := &Error{Class: "java.io.IOException", Text: err.Error(), Hint: "reading " + path + " failed"}
	var system *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Class, e.Text, e.Hint = noSuchFile, path, "there is no file "+path
	case errors.Is(err, fs.ErrPermission):
		e.Class, e.Text, e.Hint = "java.nio.file.AccessDeniedException", path, "this user may not read "+path
	case errors.As(err, &system):
		text := system.Err.Error()
		e.Text = strings.ToUpper(text[:1]) + text[1:]
	}
	return e
}

// ParseProperties reads the bytes of a file; path is for messages.
func ParseProperties(path string, text []byte) (*Properties, error) {
	p := emptyProperties(path)
	scanner := lineScanner{text: text, number: 1}
	for {
		line, number, ok := scanner.next()
		if !ok {
			return p, nil
		}
		rawKey, rawValue := splitLine(line)
		key, err := unescape(rawKey)
		if err != nil {
			return nil, p.malformed(number)
		}
		value, err := unescape(rawValue)
		if err != nil {
			return nil, p.malformed(number)
		}
		p.put(key, value, number)
	}
}

func (p *Properties) malformed(line int) error {
	return &Error{Class: illegalArgument, Text: `Malformed \uxxxx encoding.`,
		Hint: fmt.Sprintf(`%s:%d: \u needs four hexadecimal digits behind it`, p.path, line)}
}

func (p *Properties) put(key, value string, line int) {
	if _, known := p.values[key]; !known {
		p.keys = append(p.keys, key)
	}
	p.values[key], p.lines[key] = value, line
}

// Path is the file's name as it was given.
func (p *Properties) Path() string { return p.path }

// Get returns the value of a key, untrimmed, and whether it is there.
func (p *Properties) Get(key string) (string, bool) {
	value, ok := p.values[key]
	return value, ok
}

// Line is the line on which the counting value of a key begins; 0 when the
// key is not there or did not come from a file.
func (p *Properties) Line(key string) int { return p.lines[key] }

// Keys returns the keys in the order of the file.
func (p *Properties) Keys() []string { return slices.Clone(p.keys) }

// Map returns a copy of all keys and values.
func (p *Properties) Map() map[string]string {
	all := make(map[string]string, len(p.values))
	for key, value := range p.values {
		all[key] = value
	}
	return all
}

// where names the place a key's value comes from.
func (p *Properties) where(key string) string {
	switch line := p.lines[key]; {
	case line > 0:
		return p.path + ":" + strconv.Itoa(line)
	case p.path != "":
		return p.path
	default:
		return "configuration"
	}
}

// lineScanner gives the logical lines of a file: comments and blank lines
// are skipped, continued lines joined.
type lineScanner struct {
	text   []byte
	at     int
	number int // of the natural line at at
}

// natural returns the next natural line without its end.
func (s *lineScanner) natural() ([]byte, bool) {
	if s.at >= len(s.text) {
		return nil, false
	}
	start := s.at
	for s.at < len(s.text) && s.text[s.at] != '\n' && s.text[s.at] != '\r' {
		s.at++
	}
	line := s.text[start:s.at]
	if s.at < len(s.text) {
		if s.text[s.at] == '\r' && s.at+1 < len(s.text) && s.text[s.at+1] == '\n' {
			s.at++
		}
		s.at++
	}
	s.number++
	return line, true
}

// next returns a logical line, escapes still in it, and the number of its
// first natural line.
func (s *lineScanner) next() (line []byte, number int, ok bool) {
	for {
		number = s.number
		natural, more := s.natural()
		if !more {
			return nil, 0, false
		}
		natural = dropLeadingSpace(natural)
		if len(natural) == 0 || natural[0] == '#' || natural[0] == '!' {
			continue
		}
		for endsInBackslash(natural) {
			line = append(line, natural[:len(natural)-1]...)
			if natural, more = s.natural(); !more {
				break
			}
			natural = dropLeadingSpace(natural)
		}
		return append(line, natural...), number, true
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\f' }

func dropLeadingSpace(line []byte) []byte {
	for len(line) > 0 && isSpace(line[0]) {
		line = line[1:]
	}
	return line
}

func endsInBackslash(line []byte) bool {
	count := 0
	for i := len(line) - 1; i >= 0 && line[i] == '\\'; i-- {
		count++
	}
	return count%2 == 1
}

// splitLine divides a logical line into key and value, both still escaped.
func splitLine(line []byte) (key, value []byte) {
	end, escaped := 0, false
	for end < len(line) {
		c := line[end]
		if !escaped && (c == '=' || c == ':' || isSpace(c)) {
			break
		}
		escaped = c == '\\' && !escaped
		end++
	}
	rest := dropLeadingSpace(line[end:])
	if len(rest) > 0 && (rest[0] == '=' || rest[0] == ':') {
		rest = dropLeadingSpace(rest[1:])
	}
	return line[:end], rest
}

// unescape resolves escapes and turns ISO-8859-1 into a Go string.
func unescape(raw []byte) (string, error) {
	var b strings.Builder
	var high rune // the first half of a pair of surrogates
	for i := 0; i < len(raw); i++ {
		c := rune(raw[i])
		if c == '\\' && i+1 < len(raw) {
			i++
			switch c = rune(raw[i]); c {
			case 't':
				c = '\t'
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 'f':
				c = '\f'
			case 'u':
				if i+4 >= len(raw) {
					return "", errMalformed
				}
				unit, err := strconv.ParseUint(string(raw[i+1:i+5]), 16, 16)
				if err != nil {
					return "", errMalformed
				}
				i += 4
				c = rune(unit)
			}
		} else if c == '\\' {
			continue
		}
		high = writeUnit(&b, high, c)
	}
	if high != 0 {
		b.WriteRune('\uFFFD')
	}
	return b.String(), nil
}

var errMalformed = errors.New("malformed escape")

// writeUnit writes one UTF-16 unit and returns the high surrogate that waits
// for its other half, or 0.
func writeUnit(b *strings.Builder, high, c rune) rune {
	low := c >= 0xDC00 && c <= 0xDFFF
	if high != 0 && low {
		b.WriteRune((high-0xD800)<<10 + (c - 0xDC00) + 0x10000)
		return 0
	}
	if high != 0 {
		b.WriteRune('\uFFFD')
	}
	if c >= 0xD800 && c <= 0xDBFF {
		return c
	}
	if low {
		c = '\uFFFD'
	}
	b.WriteRune(c)
	return 0
}
