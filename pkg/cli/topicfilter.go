package cli

import (
	"regexp"
	"strings"

	"gregor/pkg/model"
)

// topicFilter is a regular expression that selects topics, as --topic and
// --whitelist take it: commas separate alternatives, blanks and quotes around
// it do not count, and the whole name has to match.
type topicFilter struct{ expression *regexp.Regexp }

func newTopicFilter(raw string) (*topicFilter, error) {
	text := strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(raw), ",", "|"), " ", "")
	text = strings.Trim(text, `"'`)
	expression, err := regexp.Compile(`^(?:` + text + `)$`)
	if err != nil {
		return nil, exceptionf("java.lang.RuntimeException", "%s is an invalid regex.", text)
	}
	return &topicFilter{expression}, nil
}

// allows reports whether a topic is selected.
func (f *topicFilter) allows(topic string, excludeInternal bool) bool {
	return f.expression.MatchString(topic) && !(excludeInternal && model.IsInternalTopic(topic))
}
