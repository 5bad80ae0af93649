package zkstore

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-zookeeper/zk"
)

// Code is an error code of the ZooKeeper protocol.
type Code int32

// The codes that callers meet.
const (
	CodeOK                      Code = 0
	CodeRuntimeInconsistency    Code = -2
	CodeConnectionLoss          Code = -4
	CodeMarshallingError        Code = -5
	CodeUnimplemented           Code = -6
	CodeOperationTimeout        Code = -7
	CodeBadArguments            Code = -8
	CodeAPIError                Code = -100
	CodeNoNode                  Code = -101
	CodeNoAuth                  Code = -102
	CodeBadVersion              Code = -103
	CodeNoChildrenForEphemerals Code = -108
	CodeNodeExists              Code = -110
	CodeNotEmpty                Code = -111
	CodeSessionExpired          Code = -112
	CodeInvalidACL              Code = -114
	CodeAuthFailed              Code = -115
	CodeSessionMoved            Code = -118
	CodeReconfigDisabled        Code = -123
)

// codeNames are the names that ZooKeeper's exceptions and messages use.
var codeNames = map[Code]string{
	CodeOK:                      "OK",
	CodeRuntimeInconsistency:    "RuntimeInconsistency",
	CodeConnectionLoss:          "ConnectionLoss",
	CodeMarshallingError:        "MarshallingError",
	CodeUnimplemented:           "Unimplemented",
	CodeOperationTimeout:        "OperationTimeout",
	CodeBadArguments:            "BadArguments",
	CodeAPIError:                "APIError",
	CodeNoNode:                  "NoNode",
	CodeNoAuth:                  "NoAuth",
	CodeBadVersion:              "BadVersion",
	CodeNoChildrenForEphemerals: "NoChildrenForEphemerals",
	CodeNodeExists:              "NodeExists",
	CodeNotEmpty:                "Directory not empty",
	CodeSessionExpired:          "Session expired",
	CodeInvalidACL:              "InvalidACL",
	CodeAuthFailed:              "AuthFailed",
	CodeSessionMoved:            "Session moved",
	CodeReconfigDisabled:        "Reconfig is disabled",
}

// String is the code's name in ZooKeeper's messages.
func (c Code) String() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return "Unknown error " + strconv.Itoa(int(c))
}

// Error is an answer of ZooKeeper that is not OK. errors.Is finds it by its
// code: errors.Is(err, ErrNoNode).
type Error struct {
	Code Code
	Path string // without the chroot; empty when no single path is meant
}

// Error is ZooKeeper's own form: "KeeperErrorCode = NoNode for /brokers".
func (e *Error) Error() string {
	text := "KeeperErrorCode = " + e.Code.String()
	if e.Path != "" {
		text += " for " + e.Path
	}
	return text
}

// Is reports whether target is an Error of the same code, whatever the path.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.Code == e.Code && (other.Path == "" || other.Path == e.Path)
}

// JavaClass is the Java exception that a tool of Kafka prints for the error.
func (e *Error) JavaClass() string {
	name := e.Code.String()
	switch e.Code {
	case CodeNotEmpty:
		name = "NotEmpty"
	case CodeSessionExpired:
		name = "SessionExpired"
	case CodeSessionMoved:
		name = "SessionMoved"
	case CodeReconfigDisabled:
		name = "ReconfigDisabled"
	}
	return "org.apache.zookeeper.KeeperException$" + name + "Exception"
}

// What callers branch on.
var (
	ErrNoNode         error = &Error{Code: CodeNoNode}
	ErrNodeExists     error = &Error{Code: CodeNodeExists}
	ErrBadVersion     error = &Error{Code: CodeBadVersion}
	ErrNotEmpty       error = &Error{Code: CodeNotEmpty}
	ErrNoAuth         error = &Error{Code: CodeNoAuth}
	ErrInvalidACL     error = &Error{Code: CodeInvalidACL}
	ErrConnectionLoss error = &Error{Code: CodeConnectionLoss}

	// ErrSessionExpired ends every operation whose session was lost. The
	// outcome of a write that ends so is not known.
	ErrSessionExpired error = &Error{Code: CodeSessionExpired}

	// ErrControllerMoved means that /controller_epoch has another version
	// than the caller's fence: somebody else is the controller.
	ErrControllerMoved = errors.New("the controller moved to another broker: the version of /controller_epoch changed")

	// ErrClosed ends operations on a closed store.
	ErrClosed = errors.New("the ZooKeeper client is closed")

	// ErrBadData marks a znode whose content cannot be understood; the error
	// around it names the path.
	ErrBadData = errors.New("znode content not understood")
)

// TimeoutError says that no session came to be within the connection timeout.
type TimeoutError struct{ State string }

// Error is Kafka's text.
func (e *TimeoutError) Error() string {
	return "Timed out waiting for connection while in state: " + e.State
}

// JavaClass is the exception that Kafka's tools and logs name.
func (e *TimeoutError) JavaClass() string {
	return "kafka.zookeeper.ZooKeeperClientTimeoutException"
}

func badData(path string, format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w", path, fmt.Sprintf(format, args...), ErrBadData)
}

// codeOf turns what the client library returned into a code. ok is false for
// an outcome that is not known: the connection went away, or no server could
// be reached, or the answer could not be read.
func codeOf(err error) (code Code, ok bool) {
	switch {
	case err == nil:
		return CodeOK, true
	case errors.Is(err, zk.ErrNoNode):
		return CodeNoNode, true
	case errors.Is(err, zk.ErrNodeExists):
		return CodeNodeExists, true
	case errors.Is(err, zk.ErrBadVersion):
		return CodeBadVersion, true
	case errors.Is(err, zk.ErrNotEmpty):
		return CodeNotEmpty, true
	case errors.Is(err, zk.ErrNoAuth):
		return CodeNoAuth, true
	case errors.Is(err, zk.ErrNoChildrenForEphemerals):
		return CodeNoChildrenForEphemerals, true
	case errors.Is(err, zk.ErrInvalidACL):
		return CodeInvalidACL, true
	case errors.Is(err, zk.ErrAuthFailed):
		return CodeAuthFailed, true
	case errors.Is(err, zk.ErrAPIError):
		return CodeAPIError, true
	case errors.Is(err, zk.ErrSessionExpired):
		return CodeSessionExpired, true
	case errors.Is(err, zk.ErrSessionMoved):
		return CodeConnectionLoss, false
	case errors.Is(err, zk.ErrReconfigDisabled):
		return CodeReconfigDisabled, true
	case errors.Is(err, zk.ErrBadArguments), errors.Is(err, zk.ErrInvalidPath):
		return CodeBadArguments, true
	case errors.Is(err, zk.ErrShortBuffer):
		return CodeMarshallingError, true
	}
	// The library has no values for the remaining codes, only this text.
	if digits, found := strings.CutPrefix(err.Error(), "unknown error: "); found {
		if n, convErr := strconv.ParseInt(digits, 10, 32); convErr == nil {
			return Code(n), true
		}
	}
	return CodeConnectionLoss, false
}
