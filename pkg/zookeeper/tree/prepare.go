package tree

import (
	"fmt"
	"strings"

	"gregor/pkg/zookeeper/jute"
)

// Caller is who asks: his session, which will own what is ephemeral, and his
// identities. SkipACL is the server's setting that turns all checks off.
type Caller struct {
	Session int64
	IDs     []jute.ID
	SkipACL bool
}

// Permits reports whether the caller may do one of the things in perm to a
// node with this ACL.
func (c *Caller) Permits(acl ACLs, perm int32) bool {
	return c.SkipACL || acl.Permits(perm, c.IDs)
}

// The order of the checks below decides which error a client sees, and is
// ZooKeeper's.

// PrepareCreate checks a create or create2.
func (t *Tree) PrepareCreate(c *Caller, r *jute.CreateRequest) (*jute.CreateTxn, jute.Code) {
	if !r.FlagsKnown() {
		return nil, jute.BadArguments
	}
	if r.Flags >= jute.FlagContainer {
		return nil, jute.Unimplemented
	}
	slash := strings.LastIndexByte(r.Path, '/')
	if slash < 0 || strings.IndexByte(r.Path, 0) >= 0 {
		return nil, jute.BadArguments
	}
	acl, code := fixACL(r.ACL, c.IDs)
	if code != jute.OK {
		return nil, code
	}
	parentPath, _ := split(r.Path)
	parent := t.nodes[parentPath]
	if parent == nil {
		return nil, jute.NoNode
	}
	if !c.Permits(parent.ACL, jute.PermCreate) {
		return nil, jute.NoAuth
	}
	path := r.Path
	if r.Flags&jute.FlagSequential != 0 {
		path += fmt.Sprintf("%010d", parent.Cversion)
	}
	switch {
	case !ValidPath(path):
		return nil, jute.BadArguments
	case t.nodes[path] != nil:
		return nil, jute.NodeExists
	case parent.Ephemeral():
		return nil, jute.NoChildrenForEphemerals
	}
	return &jute.CreateTxn{Path: path, Data: r.Data, ACL: acl, Ephemeral: r.Flags&jute.FlagEphemeral != 0,
		ParentCVersion: parent.Cversion + 1}, jute.OK
}

// PrepareDelete checks a delete. The right to delete is the parent's to give.
func (t *Tree) PrepareDelete(c *Caller, r *jute.PathVersionRequest) (*jute.DeleteTxn, jute.Code) {
	switch r.Path {
	case rootPath, systemPath, quotaPath, configPath:
		return nil, jute.BadArguments
	}
	if strings.LastIndexByte(r.Path, '/') < 0 {
		return nil, jute.BadArguments
	}
	parentPath, _ := split(r.Path)
	parent := t.nodes[parentPath]
	if parent == nil {
		return nil, jute.NoNode
	}
	if !c.Permits(parent.ACL, jute.PermDelete) {
		return nil, jute.NoAuth
	}
	n := t.nodes[r.Path]
	switch {
	case n == nil:
		return nil, jute.NoNode
	case r.Version != -1 && r.Version != n.Version:
		return nil, jute.BadVersion
	case n.NumChildren() > 0:
		return nil, jute.NotEmpty
	}
	return &jute.DeleteTxn{Path: r.Path}, jute.OK
}

// PrepareSetData checks a setData.
func (t *Tree) PrepareSetData(c *Caller, r *jute.SetDataRequest) (*jute.SetDataTxn, jute.Code) {
	if !ValidPath(r.Path) {
		return nil, jute.BadArguments
	}
	n := t.nodes[r.Path]
	switch {
	case n == nil:
		return nil, jute.NoNode
	case !c.Permits(n.ACL, jute.PermWrite):
		return nil, jute.NoAuth
	case r.Version != -1 && r.Version != n.Version:
		return nil, jute.BadVersion
	}
	return &jute.SetDataTxn{Path: r.Path, Data: r.Data, Version: n.Version + 1}, jute.OK
}

// PrepareSetACL checks a setACL.
func (t *Tree) PrepareSetACL(c *Caller, r *jute.SetACLRequest) (*jute.SetACLTxn, jute.Code) {
	if !ValidPath(r.Path) {
		return nil, jute.BadArguments
	}
	acl, code := fixACL(r.ACL, c.IDs)
	if code != jute.OK {
		return nil, code
	}
	n := t.nodes[r.Path]
	switch {
	case n == nil:
		return nil, jute.NoNode
	case !c.Permits(n.ACL, jute.PermAdmin):
		return nil, jute.NoAuth
	case r.Version != -1 && r.Version != n.Aversion:
		return nil, jute.BadVersion
	}
	return &jute.SetACLTxn{Path: r.Path, ACL: acl, Version: n.Aversion + 1}, jute.OK
}

// PrepareCheck checks the check of a multi.
func (t *Tree) PrepareCheck(c *Caller, r *jute.PathVersionRequest) (*jute.CheckTxn, jute.Code) {
	if !ValidPath(r.Path) {
		return nil, jute.BadArguments
	}
	n := t.nodes[r.Path]
	switch {
	case n == nil:
		return nil, jute.NoNode
	case !c.Permits(n.ACL, jute.PermRead):
		return nil, jute.NoAuth
	case r.Version != -1 && r.Version != n.Version:
		return nil, jute.BadVersion
	}
	return &jute.CheckTxn{Path: r.Path, Version: n.Version + 1}, jute.OK
}
