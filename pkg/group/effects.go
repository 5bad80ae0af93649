package group

import (
	"fmt"

	"github.com/sirupsen/logrus"

	"gregor/pkg/kerr"
)

// Effects is what is to happen after an event, in the order of the fields.
type Effects struct {
	Lines []Line
	Joins []JoinAnswer
	Syncs []SyncAnswer
	Store *Store // a group record to append; its outcome is the event Stored
}

// Line is a line for the log. Those that are Bare come from the group's own
// logger, which has no prefix.
type Line struct {
	Level logrus.Level
	Text  string
	Bare  bool
}

// JoinAnswer answers a waiting JoinGroup.
type JoinAnswer struct {
	Ticket Ticket
	JoinResult
}

// JoinResult is the answer to JoinGroup. Members is filled for the leader.
type JoinResult struct {
	Err          *kerr.Error
	MemberID     string
	Generation   int32
	ProtocolType *string
	Protocol     *string
	LeaderID     string
	Members      []JoinedMember
}

// JoinedMember is what the leader is told of a member.
type JoinedMember struct {
	ID       string
	Instance *string
	Metadata []byte
}

// SyncAnswer answers a waiting SyncGroup.
type SyncAnswer struct {
	Ticket Ticket
	SyncResult
}

// SyncResult is the answer to SyncGroup.
type SyncResult struct {
	Err          *kerr.Error
	ProtocolType *string
	Protocol     *string
	Assignment   []byte
}

func (out *Effects) infof(format string, args ...any) {
	out.line(logrus.InfoLevel, format, args...)
}

func (out *Effects) warnf(format string, args ...any) {
	out.line(logrus.WarnLevel, format, args...)
}

func (out *Effects) errorf(format string, args ...any) {
	out.line(logrus.ErrorLevel, format, args...)
}

func (out *Effects) debugf(format string, args ...any) {
	out.line(logrus.DebugLevel, format, args...)
}

func (out *Effects) line(level logrus.Level, format string, args ...any) {
	out.Lines = append(out.Lines, Line{Level: level, Text: fmt.Sprintf(format, args...)})
}

// bare takes the prefix off the last line.
func (out *Effects) bare() { out.Lines[len(out.Lines)-1].Bare = true }

// answerJoin ends the member's waiting in JoinGroup, if it waits.
func (out *Effects) answerJoin(m *member, r JoinResult) {
	if m.join == 0 {
		return
	}
	out.Joins = append(out.Joins, JoinAnswer{m.join, r})
	m.join = 0
}

// answerSync ends the member's waiting in SyncGroup, if it waits, and reports
// whether it did.
func (out *Effects) answerSync(m *member, r SyncResult) bool {
	if m.sync == 0 {
		return false
	}
	out.Syncs = append(out.Syncs, SyncAnswer{m.sync, r})
	m.sync = 0
	return true
}

// joinError is the answer to a JoinGroup that failed.
func joinError(memberID string, err *kerr.Error) JoinResult {
	return JoinResult{Err: err, MemberID: memberID, Generation: -1}
}

// option is how Kafka's log lines show a value that may be missing.
func option(s *string) string {
	if s == nil {
		return "None"
	}
	return "Some(" + *s + ")"
}
