package commitlog

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Refusal is an error that ends the start of a broker, with the exception that
// it ends a Java broker's with: a file of a partition that somebody has to look
// at before anything else is done to it.
type Refusal struct {
	Class string // full name of the exception
	Text  string
	Err   error // what is behind it, nil when Text says everything
}

func (r *Refusal) Error() string { return r.Text }

func (r *Refusal) Unwrap() error { return r.Err }

// JavaClass is the full name of the Java exception.
func (r *Refusal) JavaClass() string { return r.Class }

func unreadableFile(what, path string, err error) error {
	return &Refusal{Class: "org.apache.kafka.common.errors.KafkaStorageException", Text: "Error while reading " + what + " " + path, Err: err}
}

// corruption is ErrCorrupt with a text of Kafka's, which has no more to say.
func corruption(format string, args ...any) error {
	return &corruptFile{fmt.Sprintf(format, args...)}
}

type corruptFile struct{ text string }

func (c *corruptFile) Error() string { return c.text }

func (c *corruptFile) Is(target error) bool { return target == ErrCorrupt }

// refuseDamage ends the start when there is no telling where a log ends that
// was closed in order: bytes behind its last record were not written by a
// broker.
func refuseDamage(err error) error {
	if !errors.Is(err, ErrCorrupt) {
		return err
	}
	text := err.Error()
	var place *damage
	if errors.As(err, &place) && place.size >= 0 && place.size < oldSizeMinV0 {
		text = fmt.Sprintf("Found record size %d smaller than minimum record overhead (%d) in file %s.", place.size, oldSizeMinV0, place.path)
	}
	return &Refusal{Class: "org.apache.kafka.common.errors.CorruptRecordException", Text: text, Err: err}
}

// refuseName ends the start when a segment's file has no number for a name.
func refuseName(name string) error {
	stem, ext, _ := strings.Cut(name, ".")
	switch "." + ext {
	case logExt, indexExt, timeIndexExt, txnIndexExt, snapshotExt:
		if _, err := strconv.ParseInt(stem, 10, 64); err != nil {
			return &Refusal{Class: "java.lang.NumberFormatException", Text: fmt.Sprintf("For input string: %q", stem), Err: ErrCorrupt}
		}
	}
	return nil
}
