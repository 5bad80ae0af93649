package jopt

import (
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The help table has two columns within tableWidth characters. Its width is
// part of the interface: scripts and documents show it.
const (
	tableWidth  = 80
	gapWidth    = 2
	indentWidth = 2 // of a cell's lines behind its first
)

// WriteHelp writes the table of options, sorted by name: the option with its
// argument on the left, its description and default on the right. Both
// columns are cut down to what their lines need after wrapping, and every
// line is filled up with blanks to the full width.
func (p *Parser) WriteHelp(w io.Writer) error {
	options := slices.SortedFunc(slices.Values(p.options), func(a, b *Option) int { return strings.Compare(a.name, b.name) })
	requiredHint := ""
	if slices.ContainsFunc(options, func(o *Option) bool { return o.required }) {
		requiredHint = " (* = required)"
	}
	rows := [][2]string{{"Option" + requiredHint, "Description"}, {strings.Repeat("-", len("Option"+requiredHint)), "-----------"}}
	for _, o := range options {
		rows = append(rows, [2]string{o.signature(), o.explanation()})
	}
	_, err := io.WriteString(w, layout(rows))
	return err
}

func (o *Option) signature() string {
	s := "--" + o.name
	if o.required {
		s = "* " + s
	}
	argument := string(o.kind)
	if o.describedAs != "" {
		argument += ": " + o.describedAs
	}
	switch o.argument {
	case requiredArgument:
		s += " <" + argument + ">"
	case optionalArgument:
		s += " [" + argument + "]"
	}
	return s
}

func (o *Option) explanation() string {
	switch len(o.defaults) {
	case 0:
		return o.description
	case 1:
		return strings.TrimSpace(o.description + " (default: " + o.defaults[0] + ")")
	default:
		return strings.TrimSpace(o.description + " (default: [" + strings.Join(o.defaults, ", ") + "])")
	}
}

func layout(rows [][2]string) string {
	left := min((tableWidth-gapWidth)/2, widest(rows, 0))
	right := min(tableWidth-gapWidth-left, widest(rows, 1))
	var lines [][2]string
	for _, row := range rows {
		options, descriptions := wrap(row[0], left), wrap(row[1], right)
		for i := range max(len(options), len(descriptions)) {
			lines = append(lines, [2]string{at(options, i), at(descriptions, i)})
		}
	}
	left = min((tableWidth-gapWidth)/2, widest(lines, 0))
	right = min(tableWidth-gapWidth-left, widest(lines, 1))
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(fill(line[0], left) + strings.Repeat(" ", gapWidth) + fill(line[1], right) + "\n")
	}
	return b.String()
}

func widest(rows [][2]string, column int) int {
	n := 0
	for _, row := range rows {
		n = max(n, utf8.RuneCountInString(row[column]))
	}
	return n
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

func fill(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// wrap breaks a cell into lines. Each line of the text is broken for itself;
// what does not fit goes on below, indented. A piece that is wider than the
// column stays whole.
func wrap(text string, width int) []string {
	var lines []string
	for paragraph := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		line := ""
		for _, piece := range pieces(paragraph) {
			if line != "" && utf8.RuneCountInString(line+piece) > width {
				lines = append(lines, strings.TrimRight(line, " \t"))
				line = strings.Repeat(" ", indentWidth)
			}
			line += piece
		}
		if line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// pieces cuts a line where it may be broken: behind blanks, and behind a dash
// or a period inside a word.
func pieces(line string) []string {
	var out []string
	runes, start := []rune(line), 0
	for i := 1; i < len(runes); i++ {
		before, here := runes[i-1], runes[i]
		afterBlank := unicode.IsSpace(before) && !unicode.IsSpace(here)
		insideWord := (before == '-' || before == '.') && unicode.IsLetter(here) && i >= 2 && unicode.IsLetter(runes[i-2])
		if afterBlank || insideWord {
			out = append(out, string(runes[start:i]))
			start = i
		}
	}
	if start < len(runes) {
		out = append(out, string(runes[start:]))
	}
	return out
}
