package admin

import (
	"strings"
	"unicode/utf8"

	"gregor/pkg/kerr"
)

// topicNameLengthMax leaves room for "-N.<32 hex>-delete" in a directory
// name of 255 bytes.
const topicNameLengthMax = 249

// ValidateTopicName checks a topic name by Kafka's rules: 1 to 249 ASCII
// letters, digits, '.', '_' and '-', neither "." nor "..".
func ValidateTopicName(name string) error {
	switch {
	case name == "":
		return kerr.InvalidTopicException.With("Topic name is illegal, it can't be empty")
	case name == "." || name == "..":
		return kerr.InvalidTopicException.With(`Topic name cannot be "." or ".."`)
	case utf8.RuneCountInString(name) > topicNameLengthMax:
		return kerr.InvalidTopicException.With("Topic name is illegal, it can't be longer than %d characters, topic name: %s", topicNameLengthMax, name)
	case strings.ContainsFunc(name, func(r rune) bool { return !topicNameRune(r) }):
		return kerr.InvalidTopicException.With(`Topic name "%s" is illegal, it contains a character other than ASCII alphanumerics, '.', '_' and '-'`, name)
	}
	return nil
}

func topicNameRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' || r == '_' || r == '-'
}

// HasCollisionChars reports whether a topic's name may collide with another
// one in metric names, where '.' becomes '_'.
func HasCollisionChars(name string) bool { return strings.ContainsAny(name, "._") }

// TopicNamesCollide reports whether two names are one and the same in metric
// names.
func TopicNamesCollide(a, b string) bool {
	return strings.ReplaceAll(a, ".", "_") == strings.ReplaceAll(b, ".", "_")
}
