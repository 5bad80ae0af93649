package config

import (
	"fmt"
	"strings"
)

// The Java classes of refused configurations, as they are printed.
const (
	configException = "org.apache.kafka.common.config.ConfigException"
	illegalArgument = "java.lang.IllegalArgumentException"
	invalidConfig   = "org.apache.kafka.common.errors.InvalidConfigurationException"
	noSuchFile      = "java.nio.file.NoSuchFileException"
	numberFormat    = "java.lang.NumberFormatException"
)

// Error is a refused configuration in Kafka's words.
type Error struct {
	Class string // of Java
	Text  string
	Key   string // the setting it is about, empty when there is no single one
	Value string // the refused value, when Key is set
	Form  string // what would be allowed
	Hint  string // a sentence for people: file, line, key, value, allowed form
}

func (e *Error) Error() string { return e.Text }

// JavaClass is the class of the exception that Kafka throws.
func (e *Error) JavaClass() string { return e.Class }

// invalid is the refusal of one value.
func invalid(k *Key, value, why string) *Error {
	return &Error{Class: configException, Key: k.Name, Value: value, Form: k.form(),
		Text: fmt.Sprintf("Invalid value %s for configuration %s: %s", value, k.Name, why)}
}

// requirement is a failed check across settings.
func requirement(format string, args ...any) *Error {
	return &Error{Class: illegalArgument, Text: "requirement failed: " + fmt.Sprintf(format, args...)}
}

func illegal(format string, args ...any) *Error {
	return &Error{Class: illegalArgument, Text: fmt.Sprintf(format, args...)}
}

func configError(format string, args ...any) *Error {
	return &Error{Class: configException, Text: fmt.Sprintf(format, args...)}
}

// Warning is something about a configuration that does not keep it from
// being used.
type Warning struct {
	Key     string
	Text    string
	Unknown bool // the setting is in no table of this version
}

// Strict makes an error of the warnings about settings that are unknown or
// were removed; nil when there are none.
func Strict(warnings []Warning) error {
	var texts []string
	for _, w := range warnings {
		if w.Unknown {
			texts = append(texts, w.Text)
		}
	}
	if len(texts) == 0 {
		return nil
	}
	return configError("%s", strings.Join(texts, "; "))
}
