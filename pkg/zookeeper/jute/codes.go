package jute

import "fmt"

// Op is the number of an operation, in requests and in transactions.
type Op int32

// The operations. The negative ones appear only in the server and its log,
// except CloseSession, which clients send.
const (
	OpError                Op = -1
	OpCreateSession        Op = -10
	OpCloseSession         Op = -11
	OpNotification         Op = 0
	OpCreate               Op = 1
	OpDelete               Op = 2
	OpExists               Op = 3
	OpGetData              Op = 4
	OpSetData              Op = 5
	OpGetACL               Op = 6
	OpSetACL               Op = 7
	OpGetChildren          Op = 8
	OpSync                 Op = 9
	OpPing                 Op = 11
	OpGetChildren2         Op = 12
	OpCheck                Op = 13
	OpMulti                Op = 14
	OpCreate2              Op = 15
	OpReconfig             Op = 16
	OpCheckWatches         Op = 17
	OpRemoveWatches        Op = 18
	OpCreateContainer      Op = 19
	OpDeleteContainer      Op = 20
	OpCreateTTL            Op = 21
	OpMultiRead            Op = 22
	OpAuth                 Op = 100
	OpSetWatches           Op = 101
	OpSASL                 Op = 102
	OpGetEphemerals        Op = 103
	OpGetAllChildrenNumber Op = 104
	OpSetWatches2          Op = 105
	OpAddWatch             Op = 106
	OpWhoAmI               Op = 107
)

// shortNames are the four letters that the cons command shows.
var shortNames = map[Op]string{
	OpCreateSession: "SESS", OpCloseSession: "CLOS", OpCreate: "CREA", OpCreate2: "CREA", OpDelete: "DELE",
	OpExists: "EXIS", OpGetData: "GETD", OpSetData: "SETD", OpGetACL: "GETA", OpSetACL: "SETA",
	OpGetChildren: "GETC", OpGetChildren2: "GETC", OpSync: "SYNC", OpPing: "PING", OpMulti: "MULT",
	OpCheck: "CHEC", OpReconfig: "RECO", OpCheckWatches: "CHKW", OpRemoveWatches: "REMW", OpSetWatches: "SETW",
}

// Short is the operation as the cons command shows it, NA when it has no
// letters there.
func (o Op) Short() string {
	if name, ok := shortNames[o]; ok {
		return name
	}
	return "NA"
}

// Code is an error number of the protocol. It is an error; OK is never
// returned as one.
type Code int32

// The error numbers that a server sends.
const (
	OK                      Code = 0
	SystemError             Code = -1
	RuntimeInconsistency    Code = -2
	MarshallingError        Code = -5
	Unimplemented           Code = -6
	BadArguments            Code = -8
	NoNode                  Code = -101
	NoAuth                  Code = -102
	BadVersion              Code = -103
	NoChildrenForEphemerals Code = -108
	NodeExists              Code = -110
	NotEmpty                Code = -111
	SessionExpired          Code = -112
	InvalidACL              Code = -114
	AuthFailed              Code = -115
	SessionMoved            Code = -118
	NoWatcher               Code = -121
)

var codeNames = map[Code]string{
	OK: "OK", SystemError: "SystemError", RuntimeInconsistency: "RuntimeInconsistency", MarshallingError: "MarshallingError",
	Unimplemented: "Unimplemented", BadArguments: "BadArguments", NoNode: "NoNode", NoAuth: "NoAuth", BadVersion: "BadVersion",
	NoChildrenForEphemerals: "NoChildrenForEphemerals", NodeExists: "NodeExists", NotEmpty: "Directory not empty",
	SessionExpired: "Session expired", InvalidACL: "InvalidACL", AuthFailed: "AuthFailed", SessionMoved: "Session moved",
	NoWatcher: "No such watcher",
}

func (c Code) Error() string {
	if name, ok := codeNames[c]; ok {
		return "KeeperErrorCode = " + name
	}
	return fmt.Sprintf("KeeperErrorCode = %d", int32(c))
}

// EventType says what a watch saw.
type EventType int32

// The events that a server sends.
const (
	NodeCreated         EventType = 1
	NodeDeleted         EventType = 2
	NodeDataChanged     EventType = 3
	NodeChildrenChanged EventType = 4
)

// StateConnected is the state that every event from a server carries.
const StateConnected int32 = 3

// Special xids.
const (
	XidNotification int32 = -1
	XidPing         int32 = -2
)

// Permissions of an ACL entry.
const (
	PermRead   int32 = 1
	PermWrite  int32 = 2
	PermCreate int32 = 4
	PermDelete int32 = 8
	PermAdmin  int32 = 16
	PermAll    int32 = 31
)
