package tree

import (
	"crypto/sha1"
	"encoding/base64"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"gregor/pkg/zookeeper/jute"
)

// Authenticate checks the credential of an auth request and returns the
// identity it proves. remote is the address that the connection comes from.
// superDigest is the id ("super:<hash>") that may do everything, or empty.
func Authenticate(scheme string, credential []byte, remote, superDigest string) ([]jute.ID, bool) {
	switch scheme {
	case "digest":
		id := Digest(string(credential))
		ids := []jute.ID{{Scheme: "digest", ID: id}}
		if superDigest != "" && id == superDigest {
			ids = append(ids, jute.ID{Scheme: "super", ID: ""})
		}
		return ids, true
	case "ip":
		return []jute.ID{{Scheme: "ip", ID: remote}}, true
	}
	return nil, false
}

// Digest is the id of the digest scheme for "user:password".
func Digest(credential string) string {
	user, _, _ := strings.Cut(credential, ":")
	hash := sha1.Sum([]byte(credential))
	return user + ":" + base64.StdEncoding.EncodeToString(hash[:])
}

// Permits reports whether one of the identities may do one of the things in
// perm. An empty list permits everything.
func (a ACLs) Permits(perm int32, ids []jute.ID) bool {
	if a == OpenACL {
		return true
	}
	list := a.List()
	if len(list) == 0 {
		return true
	}
	for _, id := range ids {
		if id.Scheme == "super" {
			return true
		}
	}
	for _, entry := range list {
		if entry.Perms&perm == 0 {
			continue
		}
		if entry.ID == anyone {
			return true
		}
		for _, id := range ids {
			if id.Scheme == entry.Scheme && matches(id, entry.ID.ID) {
				return true
			}
		}
	}
	return false
}

func matches(id jute.ID, expression string) bool {
	if id.Scheme == "ip" {
		return ipMatches(id.ID, expression)
	}
	return id.ID == expression
}

// ipMatches compares the leading bits that the expression asks for.
func ipMatches(addr, expression string) bool {
	want, bits, ok := parseIP(expression)
	if !ok {
		return false
	}
	got, err := netip.ParseAddr(addr)
	if err != nil || got.BitLen() != want.BitLen() {
		return false
	}
	p, err := want.Prefix(bits)
	return err == nil && p.Contains(got.WithZone(""))
}

func parseIP(expression string) (addr netip.Addr, bits int, ok bool) {
	text, mask, masked := strings.Cut(expression, "/")
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return addr, 0, false
	}
	bits = addr.BitLen()
	if masked {
		bits, err = strconv.Atoi(mask)
		if err != nil || bits < 0 || bits > addr.BitLen() {
			return addr, 0, false
		}
	}
	return addr, bits, true
}

// fixACL brings the list of a create or setACL into the form in which it is
// stored: no entry twice, and "auth" replaced by the caller's own identities.
func fixACL(acls []jute.ACL, ids []jute.ID) ([]jute.ACL, jute.Code) {
	var fixed []jute.ACL
	add := func(a jute.ACL) {
		if !slices.Contains(fixed, a) {
			fixed = append(fixed, a)
		}
	}
	for _, a := range acls {
		switch a.Scheme {
		case "auth":
			found := false
			for _, id := range ids {
				if id.Scheme == "digest" {
					add(jute.ACL{Perms: a.Perms, ID: id})
					found = true
				}
			}
			if !found {
				return nil, jute.InvalidACL
			}
		case "world":
			if a.ID != anyone {
				return nil, jute.InvalidACL
			}
			add(a)
		case "digest":
			if strings.Count(a.ID.ID, ":") != 1 || strings.HasSuffix(a.ID.ID, ":") {
				return nil, jute.InvalidACL
			}
			add(a)
		case "ip":
			if _, _, ok := parseIP(a.ID.ID); !ok {
				return nil, jute.InvalidACL
			}
			add(a)
		default:
			return nil, jute.InvalidACL
		}
	}
	if len(fixed) == 0 {
		return nil, jute.InvalidACL
	}
	return fixed, jute.OK
}

// Redact is the list as it is shown to a caller who may not administer the
// node: without the hashes of the digest scheme.
func Redact(acls []jute.ACL) []jute.ACL {
	for i, a := range acls {
		if user, _, ok := strings.Cut(a.ID.ID, ":"); ok && a.Scheme == "digest" {
			acls[i].ID.ID = user + ":x"
		}
	}
	return acls
}
