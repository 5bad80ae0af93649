package controller

import (
	"errors"
	"fmt"

	"github.com/sirupsen/logrus"

	"gregor/pkg/logging"
	"gregor/pkg/model"
)

// line writes the lines of one of Kafka's classes, each with the prefix that
// the class gives itself.
type line struct {
	entry  *logrus.Entry
	prefix string
}

func (l line) Infof(format string, args ...any)  { l.at(logrus.InfoLevel, format, args) }
func (l line) Warnf(format string, args ...any)  { l.at(logrus.WarnLevel, format, args) }
func (l line) Errorf(format string, args ...any) { l.at(logrus.ErrorLevel, format, args) }
func (l line) Debugf(format string, args ...any) { l.at(logrus.DebugLevel, format, args) }
func (l line) Tracef(format string, args ...any) { l.at(logrus.TraceLevel, format, args) }

func (l line) at(level logrus.Level, format string, args []any) {
	if l.on(level) {
		l.entry.Log(level, l.prefix+fmt.Sprintf(format, args...))
	}
}

// Failure writes an ERROR line with the exception behind it.
func (l line) Failure(err error, format string, args ...any) {
	l.entry.WithError(err).Log(logrus.ErrorLevel, l.prefix+fmt.Sprintf(format, args...))
}

// Trouble writes a WARN line with the exception behind it.
func (l line) Trouble(err error, format string, args ...any) {
	l.entry.WithError(err).Log(logrus.WarnLevel, l.prefix+fmt.Sprintf(format, args...))
}

func (l line) on(level logrus.Level) bool { return l.entry.Logger.IsLevelEnabled(level) }

// lines are the loggers of the controller, by Kafka's class names.
type lines struct {
	loggers    *logging.Loggers
	id         model.BrokerID
	controller line // kafka.controller.KafkaController
	partitions line
	replicas   line
	deletion   line
	batch      line
	events     line
	channels   line
	state      *logrus.Entry // state.change.logger
}

func newLines(loggers *logging.Loggers, id model.BrokerID) *lines {
	named := func(class, prefix string, args ...any) line {
		return line{loggers.Logger(class), fmt.Sprintf(prefix, args...)}
	}
	return &lines{
		loggers:    loggers,
		id:         id,
		controller: named("kafka.controller.KafkaController", "[Controller id=%d] ", id),
		partitions: named("kafka.controller.ZkPartitionStateMachine", "[PartitionStateMachine controllerId=%d] ", id),
		replicas:   named("kafka.controller.ZkReplicaStateMachine", "[ReplicaStateMachine controllerId=%d] ", id),
		deletion:   named("kafka.controller.TopicDeletionManager", "[Topic Deletion Manager %d] ", id),
		batch:      named("kafka.controller.ControllerBrokerRequestBatch", ""),
		events:     named("kafka.controller.ControllerEventManager$ControllerEventThread", "[ControllerEventThread controllerId=%d] ", id),
		channels:   named("kafka.controller.ControllerChannelManager", "[Channel manager on controller %d]: ", id),
		state:      loggers.Logger("state.change.logger"),
	}
}

// stateChange is the state change logger of one controller epoch.
func (l *lines) stateChange(epoch model.ControllerEpoch) line {
	return line{l.state, fmt.Sprintf("[Controller id=%d epoch=%d] ", l.id, epoch)}
}

// stateError is why a partition or replica cannot change its state.
type stateError struct{ class, text string }

func (e *stateError) Error() string     { return e.text }
func (e *stateError) JavaClass() string { return e.class }

const stateChangeFailedClass = "kafka.common.StateChangeFailedException"

func stateChangeFailed(format string, args ...any) error {
	return &stateError{stateChangeFailedClass, fmt.Sprintf(format, args...)}
}

func illegalState(format string, args ...any) error {
	return &stateError{"java.lang.IllegalStateException", fmt.Sprintf(format, args...)}
}

func isStateChangeFailed(err error) bool {
	var e *stateError
	return errors.As(err, &e) && e.class == stateChangeFailedClass
}
