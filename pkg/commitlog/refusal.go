package commitlog

import "fmt"

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
