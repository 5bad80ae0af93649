package cli

import "strings"

// shellLine is a parsed command line.
type shellLine struct {
	options map[byte]string
	args    []string // args[0] is the command
}

func (l *shellLine) has(option byte) bool { _, ok := l.options[option]; return ok }

// data is the i-th word, nil when there are fewer.
func (l *shellLine) data(i int) []byte {
	if i >= len(l.args) {
		return nil
	}
	return []byte(l.args[i])
}

// version is the value of -v, -1 without.
func (l *shellLine) version() (int32, error) {
	text, ok := l.options['v']
	if !ok {
		return -1, nil
	}
	n, err := parseJavaInt(text)
	return int32(n), err
}

// parse reads options anywhere on the line; "--" ends them.
func (c *shellCommand) parse(words []string) (*shellLine, error) {
	line := &shellLine{options: map[byte]string{}, args: words[:1:1]}
	for rest := words[1:]; len(rest) > 0; {
		word := rest[0]
		rest = rest[1:]
		if word == "--" {
			line.args = append(line.args, rest...)
			break
		}
		if len(word) < 2 || word[0] != '-' {
			line.args = append(line.args, word)
			continue
		}
		var err error
		if rest, err = c.parseOption(line, word, rest); err != nil {
			return nil, err
		}
	}
	if len(line.args) < c.words {
		return nil, shellErrorf("%s %s", words[0], c.usage)
	}
	return line, nil
}

// parseOption reads a word such as -s, -sR, -v 3 or -v3.
func (c *shellCommand) parseOption(line *shellLine, word string, rest []string) ([]string, error) {
	for i := 1; i < len(word); i++ {
		letter := word[i]
		switch {
		case strings.IndexByte(c.flags, letter) >= 0:
			line.options[letter] = ""
		case strings.IndexByte(c.valued, letter) >= 0 && i+1 < len(word):
			line.options[letter] = word[i+1:]
			return rest, nil
		case strings.IndexByte(c.valued, letter) >= 0 && len(rest) > 0:
			line.options[letter] = rest[0]
			return rest[1:], nil
		case strings.IndexByte(c.valued, letter) >= 0:
			return nil, shellErrorf("org.apache.commons.cli.MissingArgumentException: Missing argument for option: %c", letter)
		default:
			return nil, shellErrorf("org.apache.commons.cli.UnrecognizedOptionException: Unrecognized option: %s", word)
		}
	}
	return rest, nil
}
