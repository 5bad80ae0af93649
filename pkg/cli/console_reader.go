package cli

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/pkg/lifecycle"
)

// lineReader makes a record of each line, as Kafka's LineMessageReader does.
type lineReader struct {
	in          *bufio.Reader
	topic       string
	parseKey    bool
	separator   []byte
	ignoreError bool
	line        int
}

func newLineReader(in io.Reader, topic string, properties map[string]string) *lineReader {
	r := &lineReader{in: bufio.NewReaderSize(in, 64<<10), topic: topic, separator: []byte("\t")}
	r.parseKey = strings.EqualFold(strings.TrimSpace(properties["parse.key"]), "true")
	r.ignoreError = strings.EqualFold(strings.TrimSpace(properties["ignore.error"]), "true")
	if separator, ok := properties["key.separator"]; ok {
		r.separator = []byte(separator)
	}
	return r
}

// read returns the next record, or io.EOF behind the last.
func (r *lineReader) read() (*kgo.Record, error) {
	line, err := r.readLine()
	if err != nil {
		return nil, err
	}
	r.line++
	record := &kgo.Record{Topic: r.topic, Value: line}
	if !r.parseKey {
		return record, nil
	}
	key, value, found := bytes.Cut(line, r.separator)
	if found {
		record.Key, record.Value = key, value
		return record, nil
	}
	if r.ignoreError {
		return record, nil
	}
	return nil, exceptionf(kafkaException, "No key found on line %d: %s", r.line, line)
}

// readLine reads up to a line feed, a carriage return, or both, as Java does.
// The last line needs no end.
func (r *lineReader) readLine() ([]byte, error) {
	line := []byte{}
	for {
		b, err := r.in.ReadByte()
		switch {
		case err != nil:
			if len(line) > 0 {
				return line, nil
			}
			return nil, err
		case b == '\n':
			return line, nil
		case b == '\r':
			if next, err := r.in.Peek(1); err == nil && next[0] == '\n' {
				_, _ = r.in.Discard(1) // it has been seen
			}
			return line, nil
		}
		line = append(line, b)
	}
}

// readLine is what one read gave.
type readLine struct {
	record *kgo.Record
	err    error
}

// readLines reads in the background, so that a signal need not wait for the
// next line. prompt is called before each read.
func readLines(ctx context.Context, r *lineReader, lines chan<- readLine, prompt func()) {
	inBackground(ctx, "read-lines", func(ctx context.Context) {
		for {
			prompt()
			record, err := r.read()
			select {
			case <-ctx.Done():
				return
			case lines <- readLine{record, err}:
			}
			if err != nil {
				return
			}
		}
	})
}

// inBackground runs f beside the command. It is for what may stay behind in a
// read that nothing can interrupt when the command, and with it the process,
// ends; nobody waits for it.
func inBackground(ctx context.Context, name string, f func(ctx context.Context)) {
	lifecycle.NewGroup(ctx).Go(name, func(ctx context.Context) error {
		f(ctx)
		return nil
	})
}

// signals remembers which signal ended a command.
type signals struct {
	got    chan os.Signal
	cancel context.CancelFunc
}

// onSignal returns a context that ends with TERM, INT or HUP.
func onSignal(ctx context.Context) (context.Context, *signals) {
	ctx, cancel := context.WithCancel(ctx)
	s := &signals{got: make(chan os.Signal, 1), cancel: cancel}
	incoming := make(chan os.Signal, 1)
	signal.Notify(incoming, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	inBackground(ctx, "signals", func(ctx context.Context) {
		defer signal.Stop(incoming)
		select {
		case <-ctx.Done():
		case got := <-incoming:
			s.got <- got
			cancel()
		}
	})
	return ctx, s
}

// stop gives the signals back to the process.
func (s *signals) stop() { s.cancel() }

// status is 128 and the signal's number, as a shell shows it; 0 when no
// signal came.
func (s *signals) status() int {
	select {
	case got := <-s.got:
		return 128 + int(got.(syscall.Signal))
	default:
		return 0
	}
}
