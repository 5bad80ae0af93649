package cli

import (
	"fmt"
	"strings"

	"gregor/pkg/zkstore"
)

const permissionLetters = "rwcda" // by their bits, from the lowest

// parseACL reads scheme:id:permissions, separated by commas; what has another
// form is named on stderr and passed over.
func (sh *shell) parseACL(text string) []zkstore.RawACL {
	var acl []zkstore.RawACL
	for _, entry := range strings.Split(text, ",") {
		first, last := strings.Index(entry, ":"), strings.LastIndex(entry, ":")
		if first == last {
			sh.say(entry + " does not have the form scheme:id:perm")
			continue
		}
		perms := int32(0)
		for _, letter := range entry[last+1:] {
			bit := strings.IndexRune(permissionLetters, letter)
			if bit < 0 {
				sh.say("Unknown perm type: " + string(letter))
				continue
			}
			perms |= 1 << bit
		}
		acl = append(acl, zkstore.RawACL{Perms: perms, Scheme: entry[:first], ID: entry[first+1 : last]})
	}
	return acl
}

func shellGetACL(sh *shell, line *shellLine) error {
	path, err := sh.pathArg(line)
	if err != nil {
		return err
	}
	acl, stat, err := sh.raw.GetACL(sh.ctx, path)
	sh.answered()
	if err != nil {
		return keeperText(err, path)
	}
	for _, entry := range acl {
		var perms strings.Builder
		for _, letter := range "cdrwa" {
			if entry.Perms&(1<<strings.IndexRune(permissionLetters, letter)) != 0 {
				perms.WriteRune(letter)
			}
		}
		sh.println(fmt.Sprintf("'%s,'%s\n: %s", entry.Scheme, entry.ID, perms.String()))
	}
	if line.has('s') {
		sh.printStat(stat)
	}
	return nil
}

func shellSetACL(sh *shell, line *shellLine) error {
	path, acl := line.args[1], sh.parseACL(line.args[2])
	version, err := line.version()
	if err != nil {
		return err
	}
	if err := zkstore.ValidatePath(path); err != nil {
		return shellErrorf("%v", err)
	}
	if len(acl) == 0 {
		return keeperText(zkstore.ErrInvalidACL, path)
	}
	set := func(p string) error {
		stat, err := sh.raw.SetACL(sh.ctx, p, acl, version)
		sh.answered()
		if err != nil {
			return keeperText(err, path)
		}
		if line.has('s') {
			sh.printStat(stat)
		}
		return nil
	}
	if line.has('R') {
		return sh.walk(path, false, set)
	}
	return set(path)
}

func shellAddAuth(sh *shell, line *shellLine) error {
	err := sh.raw.AddAuth(sh.ctx, line.args[1], line.data(2))
	sh.answered()
	if err != nil {
		return keeperText(err, "")
	}
	return nil
}
