package argparse

import (
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Usage and help have lines of at most lineWidth characters; the text of an
// option begins at helpColumn.
const (
	lineWidth  = 75
	helpColumn = 25
)

// WriteError writes what a tool says about a command line that it cannot
// read: the usage and the sentence.
func (p *Parser) WriteError(w io.Writer, e *Error) error {
	_, err := io.WriteString(w, p.usage()+justify(p.program+": error: "+e.Text, lineWidth, "")+e.Hint+"\n")
	return err
}

// WriteHelp writes what -h asks for.
func (p *Parser) WriteHelp(w io.Writer) error {
	var b strings.Builder
	b.WriteString(p.usage() + "\n" + justify(p.description, lineWidth, "") + "\n\noptional arguments:\n")
	for _, o := range p.options {
		if o.group == nil {
			o.explain(&b)
		}
	}
	for _, g := range p.groups {
		b.WriteString("\n")
		if g.title != "" {
			b.WriteString(g.title + ":\n")
		}
		if g.description != "" {
			b.WriteString("  " + justify(g.description, lineWidth-2, "  ") + "\n\n")
		}
		for _, o := range g.options {
			o.explain(&b)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// explain writes the lines of an option.
func (o *Option) explain(b *strings.Builder) {
	names := make([]string, len(o.flags))
	for i, f := range o.flags {
		names[i] = f + o.values()
	}
	title := "  " + strings.Join(names, ", ")
	text := o.help
	if o.initial != nil {
		text += " (default: " + *o.initial + ")"
	}
	b.WriteString(title)
	if n := utf8.RuneCountInString(title); n+2 <= helpColumn {
		b.WriteString(strings.Repeat(" ", helpColumn-n))
	} else {
		b.WriteString("\n" + strings.Repeat(" ", helpColumn))
	}
	b.WriteString(justify(text, lineWidth-helpColumn, strings.Repeat(" ", helpColumn)) + "\n")
}

// values is how the option's values are shown behind a flag.
func (o *Option) values() string {
	switch {
	case o.flag:
		return ""
	case o.many:
		return " " + o.valueName() + " [" + o.valueName() + " ...]"
	}
	return " " + o.valueName()
}

// usage is the line that shows all options, broken between them.
func (p *Parser) usage() string {
	var words []string
	for _, o := range p.options {
		if o.group != nil {
			continue
		}
		word := o.flags[0] + o.values()
		if !o.required {
			word = "[" + word + "]"
		}
		words = append(words, word)
	}
	for _, g := range p.groups {
		before, behind := "[", "]"
		if g.required {
			before, behind = "(", ")"
		}
		for i, o := range g.options {
			if i > 0 {
				words = append(words, "|")
			}
			words = append(words, o.flags[0]+o.values())
			if i == 0 {
				words[len(words)-1] = before + words[len(words)-1]
			}
		}
		words[len(words)-1] += behind
	}
	start := "usage: " + p.program
	var b strings.Builder
	b.WriteString(start)
	at := len(start)
	for _, word := range words {
		if at+1+len(word) > lineWidth {
			b.WriteString("\n" + strings.Repeat(" ", len(start)))
			at = len(start)
		}
		b.WriteString(" " + word)
		at += 1 + len(word)
	}
	return b.String() + "\n"
}

// justify breaks a text into lines of the given width, each but the last
// filled up with blanks between its words, and puts indent before all but the
// first.
func justify(text string, width int, indent string) string {
	var lines []string
	line := ""
	for _, piece := range pieces(text) {
		if line != "" && utf8.RuneCountInString(line)+utf8.RuneCountInString(piece) > width {
			lines = append(lines, stretch(strings.TrimRight(line, " "), width))
			line = ""
		}
		line += piece
	}
	lines = append(lines, strings.TrimRight(line, " "))
	return strings.Join(lines, "\n"+indent)
}

// stretch widens the gaps between words, those in the middle first.
func stretch(line string, width int) string {
	words := strings.Fields(line)
	gaps, missing := len(words)-1, width-utf8.RuneCountInString(line)
	if gaps == 0 || missing <= 0 {
		return line
	}
	wide := make([]int, gaps)
	for i := range wide {
		wide[i] = 1 + missing/gaps
	}
	at, step := gaps/2, 1
	if gaps%2 == 0 {
		step = -1
	}
	for range missing % gaps {
		wide[at]++
		at += step
		if step > 0 {
			step = -step - 1
		} else {
			step = -step + 1
		}
	}
	var b strings.Builder
	for i, word := range words {
		b.WriteString(word)
		if i < gaps {
			b.WriteString(strings.Repeat(" ", wide[i]))
		}
	}
	return b.String()
}

// pieces cuts a text where it may be broken: behind blanks, behind a dash
// before a letter, behind a period or a colon inside a word, and before a
// parenthesis.
func pieces(text string) []string {
	var out []string
	runes, start := []rune(text), 0
	for i := 1; i < len(runes); i++ {
		before, here := runes[i-1], runes[i]
		afterBlank := before == ' ' && here != ' '
		afterDash := before == '-' && unicode.IsLetter(here)
		insideWord := strings.ContainsRune(".:", before) && unicode.IsLetter(here) && i >= 2 && unicode.IsLetter(runes[i-2])
		beforeParenthesis := here == '(' && before != ' ' && before != '-'
		if afterBlank || afterDash || insideWord || beforeParenthesis {
			out = append(out, string(runes[start:i]))
			start = i
		}
	}
	return append(out, string(runes[start:]))
}
