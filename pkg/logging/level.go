package logging

import (
	"strings"

	"github.com/sirupsen/logrus"
)

// level is a level of log4j.
type level int8

const (
	unset level = iota
	levelOff
	levelFatal
	levelError
	levelWarn
	levelInfo
	levelDebug
	levelTrace
	levelAll
)

var levelNames = [...]string{"", "OFF", "FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE", "ALL"}

func (lv level) String() string { return levelNames[lv] }

// parseLevel reads a level's name in any case. INHERITED and NULL are read
// as no level.
func parseLevel(text string) (level, bool) {
	text = strings.ToUpper(strings.TrimSpace(text))
	if text == "INHERITED" || text == "NULL" {
		return unset, true
	}
	for i := levelOff; i <= levelAll; i++ {
		if levelNames[i] == text {
			return i, true
		}
	}
	return unset, false
}

// logrus is the level from which on logrus lets entries through.
func (lv level) logrus() logrus.Level {
	switch lv {
	case levelError:
		return logrus.ErrorLevel
	case levelWarn:
		return logrus.WarnLevel
	case levelInfo:
		return logrus.InfoLevel
	case levelDebug:
		return logrus.DebugLevel
	case levelTrace, levelAll:
		return logrus.TraceLevel
	case levelFatal:
		return logrus.FatalLevel
	default:
		return logrus.PanicLevel
	}
}

// nameOf is log4j's name of an entry's level.
func nameOf(l logrus.Level) string {
	switch l {
	case logrus.TraceLevel:
		return "TRACE"
	case logrus.DebugLevel:
		return "DEBUG"
	case logrus.InfoLevel:
		return "INFO"
	case logrus.WarnLevel:
		return "WARN"
	case logrus.ErrorLevel:
		return "ERROR"
	default:
		return "FATAL"
	}
}
