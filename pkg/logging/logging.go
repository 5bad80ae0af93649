// Package logging is logrus with the layout, the logger names and the files
// that log4j gives Kafka.
//
// A Loggers value is the whole logging of one process. Parts take it in their
// constructor and ask it for entries by Kafka's class names ("kafka.server.
// KafkaServer"), which users grep for. Each name has a logrus logger of its
// own, so that levels can differ by name and change while running.
package logging

import (
	"bytes"
	"io"
	"os"
	"sync"

	"github.com/sirupsen/logrus"
)

// NameField is the field of an entry that holds the logger's name.
const NameField = "logger"

// Loggers hands out named log entries. Safe for concurrent use.
type Loggers struct {
	mu     sync.Mutex
	out    io.Writer
	level  logrus.Level
	byName map[string]*logrus.Entry
}

// New returns loggers that write INFO and above to out in log4j's layout.
func New(out io.Writer) *Loggers {
	return &Loggers{out: out, level: logrus.InfoLevel, byName: map[string]*logrus.Entry{}}
}

// Stdout is New(os.Stdout).
func Stdout() *Loggers { return New(os.Stdout) }

// Discard returns loggers that write nothing, for tests and tools.
func Discard() *Loggers { return New(io.Discard) }

// Logger returns the entry for a logger name, such as "kafka.log.LogManager".
func (l *Loggers) Logger(name string) *logrus.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	if entry, ok := l.byName[name]; ok {
		return entry
	}
	logger := logrus.New()
	logger.SetOutput(l.out)
	logger.SetLevel(l.level)
	logger.SetFormatter(layout{})
	entry := logger.WithField(NameField, name)
	l.byName[name] = entry
	return entry
}

// layout is log4j's [%d] %p %m (%c)%n.
type layout struct{}

func (layout) Format(e *logrus.Entry) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("[" + e.Time.Format("2006-01-02 15:04:05,000") + "] ")
	b.WriteString(levelName(e.Level) + " " + e.Message)
	if name, ok := e.Data[NameField].(string); ok {
		b.WriteString(" (" + name + ")")
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

func levelName(level logrus.Level) string {
	switch level {
	case logrus.WarnLevel:
		return "WARN"
	case logrus.InfoLevel:
		return "INFO"
	case logrus.DebugLevel:
		return "DEBUG"
	case logrus.TraceLevel:
		return "TRACE"
	default:
		return "ERROR"
	}
}
