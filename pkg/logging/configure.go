package logging

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/magiconair/properties"
	"github.com/sirupsen/logrus"
)

// Options are what a configuration needs beside its file.
type Options struct {
	Stdout, Stderr io.Writer
	System         map[string]string // values of ${...}: kafka.logs.dir and what -D options give
}

// LoadFile configures loggers from a log4j.properties file.
func LoadFile(path string, o Options) (*Loggers, []string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	return Load(text, o)
}

// Load configures loggers from the text of a log4j.properties file. Files
// and directories it names are created. What cannot be done is told in the
// complaints, and left out: a broker starts without a log file too.
func Load(text []byte, o Options) (l *Loggers, complaints []string, err error) {
	loader := properties.Loader{Encoding: properties.ISO_8859_1, DisableExpansion: true}
	file, err := loader.LoadBytes(text)
	if err != nil {
		return nil, nil, fmt.Errorf("log4j configuration: %w", err)
	}
	c := &configuration{options: o, values: file.Map(), appenders: map[string]*appender{},
		loggers: &Loggers{byName: map[string]*named{}, rules: map[string]rule{Root: {level: levelDebug}}}}
	c.readRules()
	return c.loggers, c.complaints, nil
}

// configuration is one reading of a log4j.properties file.
type configuration struct {
	options    Options
	values     map[string]string
	appenders  map[string]*appender // nil for one that could not be made
	loggers    *Loggers
	complaints []string
}

func (c *configuration) complain(format string, args ...any) {
	c.complaints = append(c.complaints, fmt.Sprintf(format, args...))
}

// readRules reads rootLogger and every logger.
func (c *configuration) readRules() {
	for _, key := range c.keys() {
		name, isLogger := cutAny(key, "log4j.logger.", "log4j.category.")
		if key == "log4j.rootLogger" || key == "log4j.rootCategory" {
			name, isLogger = Root, true
		}
		if isLogger {
			c.loggers.rules[name] = c.readRule(name, c.values[key])
		}
	}
}

func (c *configuration) keys() []string {
	keys := make([]string, 0, len(c.values))
	for key := range c.values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func cutAny(text string, prefixes ...string) (string, bool) {
	for _, prefix := range prefixes {
		if rest, ok := strings.CutPrefix(text, prefix); ok {
			return rest, true
		}
	}
	return "", false
}

// readRule reads "LEVEL, appender, appender".
func (c *configuration) readRule(name, text string) rule {
	parts := strings.Split(c.expand(text, 0), ",")
	var r rule
	if word := strings.TrimSpace(parts[0]); word != "" {
		lv, ok := parseLevel(word)
		if !ok {
			c.complain("logger %s: %q is not a level, DEBUG is taken", name, word)
			lv = levelDebug
		}
		r.level = lv
	}
	if name == Root && r.level == unset {
		r.level = levelDebug
	}
	for _, part := range parts[1:] {
		if a := c.appender(strings.TrimSpace(part)); a != nil {
			r.appenders = append(r.appenders, a)
		}
	}
	r.closed = strings.EqualFold(strings.TrimSpace(c.values["log4j.additivity."+name]), "false")
	return r
}

// appender returns the appender of a name, made at its first use.
func (c *configuration) appender(name string) *appender {
	if name == "" {
		return nil
	}
	if a, made := c.appenders[name]; made {
		return a
	}
	a, err := c.makeAppender(name)
	if err != nil {
		c.complain("appender %s: %v", name, err)
	}
	c.appenders[name] = a
	return a
}

// option is a value of an appender, by a key in any case of its first letter.
func (c *configuration) option(appender, key string) string {
	prefix := "log4j.appender." + appender + "."
	for _, spelt := range []string{key, strings.ToLower(key[:1]) + key[1:]} {
		if text, ok := c.values[prefix+spelt]; ok {
			return strings.TrimSpace(c.expand(text, 0))
		}
	}
	return ""
}

func (c *configuration) makeAppender(name string) (*appender, error) {
	class := strings.TrimSpace(c.values["log4j.appender."+name])
	a := &appender{layout: c.layout(name)}
	if text := c.option(name, "Threshold"); text != "" {
		lv, ok := parseLevel(text)
		if !ok {
			return nil, fmt.Errorf("%q is not a level", text)
		}
		a.threshold = lv
	}
	switch class[strings.LastIndexByte(class, '.')+1:] {
	case "ConsoleAppender":
		a.out = c.options.Stdout
		if c.option(name, "Target") == "System.err" {
			a.out = c.options.Stderr
		}
		return a, nil
	case "NullAppender":
		a.out = io.Discard
		return a, nil
	case "FileAppender", "RollingFileAppender", "DailyRollingFileAppender":
		r, err := c.roller(name, class)
		if err != nil {
			return nil, err
		}
		a.roll = r
		c.loggers.files = append(c.loggers.files, a)
		return a, nil
	case "":
		return nil, fmt.Errorf("log4j.appender.%s is missing", name)
	}
	return nil, fmt.Errorf("the class %s is not known here; console and file appenders are", class)
}

func (c *configuration) layout(name string) pattern {
	switch class := c.option(name, "Layout"); {
	case strings.HasSuffix(class, ".SimpleLayout"):
		return parsePattern("%p - %m%n")
	case c.values["log4j.appender."+name+".layout.ConversionPattern"] != "":
		return parsePattern(c.expand(c.values["log4j.appender."+name+".layout.ConversionPattern"], 0))
	case strings.HasSuffix(class, ".PatternLayout"):
		return parsePattern("%m%n")
	}
	return parsePattern(DefaultPattern)
}

func (c *configuration) roller(name, class string) (*roller, error) {
	r := roller{path: c.option(name, "File"), keep: DefaultKeep}
	if r.path == "" {
		return nil, fmt.Errorf("log4j.appender.%s.File is missing", name)
	}
	r.path = filepath.Clean(r.path)
	sized := strings.HasSuffix(class, ".RollingFileAppender") || class == "RollingFileAppender"
	if sized {
		r.maxSize, r.keep = 10<<20, 1
		if text := c.option(name, "MaxFileSize"); text != "" {
			size, err := parseSize(text)
			if err != nil {
				return nil, err
			}
			r.maxSize = size
		}
	}
	if strings.HasSuffix(class, "DailyRollingFileAppender") {
		date := c.option(name, "DatePattern")
		if date == "" {
			date = "'.'yyyy-MM-dd"
		}
		r.suffix = simpleDate(date)
	}
	if text := c.option(name, "MaxBackupIndex"); text != "" {
		keep, err := strconv.Atoi(text)
		if err != nil || keep < 0 || keep > 1_000_000 {
			return nil, fmt.Errorf("%q is not a MaxBackupIndex", text)
		}
		r.keep = keep
	}
	return openRoller(r, strings.EqualFold(c.option(name, "Append"), "false"))
}

// parseSize reads a size such as 10MB.
func parseSize(text string) (int64, error) {
	upper, unit := strings.ToUpper(text), int64(1)
	for i, suffix := range []string{"KB", "MB", "GB"} {
		if rest, ok := strings.CutSuffix(upper, suffix); ok {
			upper, unit = strings.TrimSpace(rest), 1<<(10*(i+1))
		}
	}
	size, err := strconv.ParseInt(upper, 10, 64)
	if err != nil || size <= 0 || size > 1<<62/unit {
		return 0, fmt.Errorf("%q is not a file size", text)
	}
	return size * unit, nil
}

// expand replaces ${name} by a system property or by a value of the file.
func (c *configuration) expand(text string, depth int) string {
	start := strings.Index(text, "${")
	if start < 0 || depth > 10 {
		return text
	}
	length := strings.IndexByte(text[start:], '}')
	if length < 0 {
		return text
	}
	name := text[start+2 : start+length]
	value, ok := c.options.System[name]
	if !ok {
		value = c.expand(c.values[name], depth+1)
	}
	return text[:start] + value + c.expand(text[start+length+1:], depth+1)
}

// Tools returns loggers for command line tools as tools-log4j.properties has
// them: WARN and above to the standard error.
func Tools(stderr io.Writer) *Loggers {
	l := New(stderr)
	l.rules[Root] = rule{level: levelWarn, appenders: l.rules[Root].appenders}
	return l
}

// Enabled reports whether a line of the level would be written, for code
// that would otherwise compute its arguments for nothing.
func Enabled(e *logrus.Entry, l logrus.Level) bool { return e.Logger.IsLevelEnabled(l) }
