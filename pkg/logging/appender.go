package logging

import (
	"bytes"
	"io"
	"os"
	"sync"

	"github.com/sirupsen/logrus"
)

// appender writes lines to one place.
type appender struct {
	layout    pattern
	threshold level // unset for none

	// mu guards the fields below and is held while writing, so that lines
	// do not mix.
	mu     sync.Mutex
	buffer bytes.Buffer
	out    io.Writer
	roll   *roller // nil when out is not a file
	failed bool    // the last write failed, which was said once
}

func newAppender(out io.Writer) *appender {
	return &appender{layout: parsePattern(DefaultPattern), out: out}
}

// append writes one entry. It never fails: a full disk must not stop the
// broker's work, and is told once on the standard error.
func (a *appender) append(name string, e *logrus.Entry) {
	if a.threshold != unset && e.Level > a.threshold.logrus() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.buffer.Reset()
	a.layout.format(&a.buffer, name, e)
	out := a.out
	if a.roll != nil {
		out = a.roll.file(e.Time, a.buffer.Len())
	}
	_, err := out.Write(a.buffer.Bytes())
	if err != nil && !a.failed {
		complain("writing a log line failed: " + err.Error())
	}
	a.failed = err != nil
	if a.buffer.Cap() > 1<<16 {
		a.buffer = bytes.Buffer{} // one long line need not stay in memory
	}
}

func (a *appender) close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.roll == nil {
		return nil
	}
	return a.roll.close()
}

// complain is the last resort of log4j: a line on the standard error.
func complain(text string) {
	_, _ = os.Stderr.WriteString("log4j:ERROR " + text + "\n")
}
