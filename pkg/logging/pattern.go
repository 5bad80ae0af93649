package logging

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
)

// DefaultPattern is the layout of Kafka's files.
const DefaultPattern = "[%d] %p %m (%c)%n"

// pattern is a PatternLayout: texts and conversions in turn.
type pattern []piece

// piece is a text, or a conversion when verb is not 0.
type piece struct {
	text     string
	verb     byte
	least    int // width to pad to
	most     int // width to cut to, 0 for none
	leftward bool
	option   string // what stood in braces
	layout   string // of %d
}

// parsePattern reads a ConversionPattern. What it does not know it keeps as
// text, as log4j does.
func parsePattern(text string) pattern {
	var p pattern
	for text != "" {
		percent := strings.IndexByte(text, '%')
		if percent < 0 {
			return append(p, piece{text: text})
		}
		if percent > 0 {
			p = append(p, piece{text: text[:percent]})
		}
		var next piece
		next, text = parseConversion(text[percent+1:])
		p = append(p, next)
	}
	return p
}

// parseConversion reads what stands behind a percent sign.
func parseConversion(text string) (piece, string) {
	var p piece
	rest := text
	if strings.HasPrefix(rest, "-") {
		p.leftward, rest = true, rest[1:]
	}
	p.least, rest = leadingNumber(rest)
	if strings.HasPrefix(rest, ".") {
		p.most, rest = leadingNumber(rest[1:])
	}
	if rest == "" {
		return piece{text: "%" + text}, ""
	}
	p.verb, rest = rest[0], rest[1:]
	if strings.HasPrefix(rest, "{") {
		if end := strings.IndexByte(rest, '}'); end > 0 {
			p.option, rest = rest[1:end], rest[end+1:]
		}
	}
	switch p.verb {
	case '%':
		return piece{text: "%"}, rest
	case 'd':
		p.layout = dateLayout(p.option)
	case 'c', 'C', 'p', 'm', 'n', 't', 'r', 'x', 'X', 'L', 'F', 'M', 'l':
	default:
		return piece{text: "%" + text[:len(text)-len(rest)]}, rest
	}
	return p, rest
}

func leadingNumber(text string) (int, string) {
	end := 0
	for end < len(text) && end < 4 && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	number, _ := strconv.Atoi(text[:end])
	return number, text[end:]
}

// dateLayout is the layout of Go for the option of %d.
func dateLayout(option string) string {
	switch option {
	case "", "ISO8601":
		return "2006-01-02 15:04:05,000"
	case "ABSOLUTE":
		return "15:04:05,000"
	case "DATE":
		return "02 Jan 2006 15:04:05,000"
	}
	return simpleDate(option)
}

// simpleDate turns a pattern of SimpleDateFormat into a layout of Go: the
// letters that log files use, and quoted text.
func simpleDate(pattern string) string {
	words := map[string]string{"yyyy": "2006", "yy": "06", "MMM": "Jan", "MM": "01", "dd": "02", "HH": "15", "hh": "03",
		"mm": "04", "ss": "05", "SSS": "000", "a": "PM", "EEE": "Mon", "z": "MST", "Z": "-0700"}
	var layout strings.Builder
	quoted := false
	for i := 0; i < len(pattern); {
		c := pattern[i]
		if c == '\'' {
			quoted = !quoted
			i++
			continue
		}
		end := i + 1
		for end < len(pattern) && pattern[end] == c {
			end++
		}
		if word, ok := words[pattern[i:end]]; ok && !quoted {
			layout.WriteString(word)
		} else {
			layout.WriteString(pattern[i:end])
		}
		i = end
	}
	return layout.String()
}

var processStart = time.Now()

// format appends an entry of the named logger, and the line of its error.
func (p pattern) format(b *bytes.Buffer, name string, e *logrus.Entry) {
	for i := range p {
		if p[i].verb == 0 {
			b.WriteString(p[i].text)
			continue
		}
		start := b.Len()
		p[i].convert(b, name, e)
		if p[i].least > 0 || p[i].most > 0 {
			p[i].fit(b, start)
		}
	}
	if err, ok := e.Data[logrus.ErrorKey].(error); ok {
		b.WriteString(exceptionLine(err))
		b.WriteByte('\n')
	}
}

func (p *piece) convert(b *bytes.Buffer, name string, e *logrus.Entry) {
	switch p.verb {
	case 'd':
		var room [48]byte
		b.Write(e.Time.AppendFormat(room[:0], p.layout))
	case 'p':
		b.WriteString(nameOf(e.Level))
	case 'm':
		b.WriteString(e.Message)
	case 'n':
		b.WriteByte('\n')
	case 'c', 'C':
		b.WriteString(lastParts(name, p.option))
	case 't':
		b.WriteString("main")
	case 'r':
		b.WriteString(strconv.FormatInt(e.Time.Sub(processStart).Milliseconds(), 10))
	case 'L', 'F', 'M', 'l':
		b.WriteByte('?') // where in the code: not known
	}
}

// lastParts keeps the last n parts of a name, n being the option of %c.
func lastParts(name, option string) string {
	n, err := strconv.Atoi(option)
	if err != nil || n <= 0 {
		return name
	}
	for end := len(name); end > 0; n-- {
		end = strings.LastIndexByte(name[:end], '.')
		if n == 1 {
			return name[end+1:]
		}
	}
	return name
}

// fit pads or cuts what was written since start to the wanted width; log4j
// cuts at the front.
func (p *piece) fit(b *bytes.Buffer, start int) {
	text := string(b.Bytes()[start:])
	if p.most > 0 && len(text) > p.most {
		text = text[len(text)-p.most:]
	}
	if pad := p.least - len(text); pad > 0 && p.leftward {
		text += strings.Repeat(" ", pad)
	} else if pad > 0 {
		text = strings.Repeat(" ", pad) + text
	}
	b.Truncate(start)
	b.WriteString(text)
}

// exceptionLine is what Java prints for an exception without its frames: the
// class, where the error knows one, and the text.
func exceptionLine(err error) string {
	var java interface{ JavaClass() string }
	if errors.As(err, &java) {
		return java.JavaClass() + ": " + err.Error()
	}
	return err.Error()
}
