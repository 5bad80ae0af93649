package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gregor/pkg/zkstore"
)

// shellCommand is one command of the ZooKeeper shell.
type shellCommand struct {
	usage  string // after the name
	flags  string // letters of options without a value
	valued string // letters of options with one
	words  int    // least number of words, the command's name included
	local  func(sh *shell, words []string) error
	run    func(sh *shell, line *shellLine) error
}

// shellCommands is filled by init because commands refer to it.
var shellCommands map[string]*shellCommand

func init() {
	shellCommands = map[string]*shellCommand{
		"addauth":      {usage: "scheme auth", words: 2, run: shellAddAuth},
		"close":        {usage: "", words: 1, run: shellClose},
		"config":       {usage: "[-c] [-w] [-s]", flags: "cws", words: 1, run: shellConfig},
		"connect":      {usage: "host:port", local: (*shell).reconnect},
		"create":       {usage: "[-s] [-e] [-c] [-t ttl] path [data] [acl]", flags: "sec", valued: "t", words: 2, run: shellCreate},
		"delete":       {usage: "[-v version] path", valued: "v", words: 2, run: shellDelete},
		"deleteall":    {usage: "path", words: 2, run: shellDeleteAll},
		"delquota":     {usage: "[-n|-b] path", flags: "nb", words: 2, run: shellDelQuota},
		"get":          {usage: "[-s] [-w] path", flags: "sw", words: 2, run: shellGet},
		"getAcl":       {usage: "[-s] path", flags: "s", words: 2, run: shellGetACL},
		"history":      {usage: "", local: (*shell).showHistory},
		"listquota":    {usage: "path", words: 2, run: shellListQuota},
		"ls":           {usage: "[-s] [-w] [-R] path", flags: "swR", words: 2, run: shellList},
		"ls2":          {usage: "path [watch]", words: 2, run: shellList2},
		"printwatches": {usage: "on|off", local: (*shell).setPrintWatches},
		"quit":         {usage: "", local: (*shell).quit},
		"redo":         {usage: "cmdno", local: (*shell).redo},
		"rmr":          {usage: "path", words: 2, run: shellRemoveRecursive},
		"set":          {usage: "[-s] [-v version] path data", flags: "s", valued: "v", words: 3, run: shellSet},
		"setAcl":       {usage: "[-s] [-v version] [-R] path acl", flags: "sR", valued: "v", words: 3, run: shellSetACL},
		"setquota":     {usage: "-n|-b val path", valued: "nb", words: 2, run: shellSetQuota},
		"stat":         {usage: "[-w] path", flags: "w", words: 2, run: shellStat},
		"sync":         {usage: "path", words: 2, run: shellSync},
	}
}

func shellCommandNames() []string {
	names := make([]string, 0, len(shellCommands))
	for name := range shellCommands {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// keeperText is what the shell says for an error of the server.
func keeperText(err error, path string) error {
	var own *zkstore.Error
	if !errors.As(err, &own) {
		return shellErrorf("%v", err)
	}
	prefix, ok := map[zkstore.Code]string{
		zkstore.CodeNoNode:                  "Node does not exist: ",
		zkstore.CodeNoChildrenForEphemerals: "Ephemerals cannot have children: ",
		zkstore.CodeNodeExists:              "Node already exists: ",
		zkstore.CodeNotEmpty:                "Node not empty: ",
		zkstore.CodeInvalidACL:              "Acl is not valid : ",
		zkstore.CodeNoAuth:                  "Authentication is not valid : ",
		zkstore.CodeBadArguments:            "Arguments are not valid : ",
		zkstore.CodeBadVersion:              "version No is not valid : ",
	}[own.Code]
	if !ok {
		return shellErrorf("%v", &zkstore.Error{Code: own.Code, Path: path})
	}
	return shellErrorf("%s%s", prefix, path)
}

// pathArg checks the path before anything is sent.
func (sh *shell) pathArg(line *shellLine) (string, error) {
	path := line.args[1]
	if err := zkstore.ValidatePath(path); err != nil {
		return "", shellErrorf("%v", err)
	}
	return path, nil
}

// answered waits until the connection's event is printed, before output.
func (sh *shell) answered() {
	if sh.raw.State() == "CONNECTED" {
		sh.awaitGreeting()
	}
}

func (sh *shell) printStat(s zkstore.RawStat) {
	const javaDate = "Mon Jan 02 15:04:05 MST 2006"
	sh.print(fmt.Sprintf("cZxid = 0x%x\nctime = %s\nmZxid = 0x%x\nmtime = %s\npZxid = 0x%x\ncversion = %d\ndataVersion = %d\n"+
		"aclVersion = %d\nephemeralOwner = 0x%x\ndataLength = %d\nnumChildren = %d\n",
		uint64(s.Czxid), time.UnixMilli(s.Ctime).Format(javaDate), uint64(s.Mzxid), time.UnixMilli(s.Mtime).Format(javaDate),
		uint64(s.Pzxid), s.Cversion, s.Version, s.Aversion, uint64(s.EphemeralOwner), s.DataLength, s.NumChildren))
}

func shellList(sh *shell, line *shellLine) error {
	watch := line.has('w')
	if len(line.args) > 2 { // 3.4: ls path watch
		sh.say("'ls path [watch]' has been deprecated. Please use 'ls [-w] path' instead.")
		watch = true
	}
	path, err := sh.pathArg(line)
	if err != nil {
		return err
	}
	if line.has('R') {
		return sh.walk(path, watch, func(path string) error { sh.println(path); return nil })
	}
	children, stat, err := sh.raw.Children(sh.ctx, path, watch)
	sh.answered()
	if err != nil {
		return keeperText(err, path)
	}
	slices.Sort(children)
	sh.print("[" + strings.Join(children, ", ") + "]")
	if line.has('s') {
		sh.printStat(stat) // without a line break between
	}
	sh.println("")
	return nil
}

// walk visits path and all below: the children of a node in order, then what
// is below each. Nodes that vanish meanwhile are passed over.
func (sh *shell) walk(path string, watch bool, visit func(path string) error) error {
	_, _, err := sh.raw.Get(sh.ctx, path, watch)
	sh.answered()
	if err != nil {
		return keeperText(err, path)
	}
	if err := visit(path); err != nil {
		return err
	}
	return sh.walkBelow(path, watch, visit)
}

func (sh *shell) walkBelow(path string, watch bool, visit func(path string) error) error {
	children, _, err := sh.raw.Children(sh.ctx, path, watch)
	if errors.Is(err, zkstore.ErrNoNode) {
		return nil
	}
	if err != nil {
		return keeperText(err, path)
	}
	slices.Sort(children)
	for i, child := range children {
		children[i] = strings.TrimSuffix(path, "/") + "/" + child
		if err := visit(children[i]); err != nil {
			return err
		}
	}
	for _, child := range children {
		if err := sh.walkBelow(child, watch, visit); err != nil {
			return err
		}
	}
	return nil
}

func shellList2(sh *shell, line *shellLine) error {
	sh.say("'ls2' has been deprecated. Please use 'ls [-s] path' instead.")
	path, err := sh.pathArg(line)
	if err != nil {
		return err
	}
	children, stat, err := sh.raw.Children(sh.ctx, path, len(line.args) > 2)
	sh.answered()
	if err != nil {
		return keeperText(err, path)
	}
	sh.println("[" + strings.Join(children, ", ") + "]") // in the server's order
	sh.printStat(stat)
	return nil
}

func shellGet(sh *shell, line *shellLine) error {
	watch := line.has('w')
	if len(line.args) > 2 { // 3.4: get path watch
		sh.say("'get path [watch]' has been deprecated. Please use 'get [-s] [-w] path' instead.")
		watch = true
	}
	path, err := sh.pathArg(line)
	if err != nil {
		return err
	}
	data, stat, err := sh.raw.Get(sh.ctx, path, watch)
	sh.answered()
	if err != nil {
		return javaText(err)
	}
	if data == nil {
		data = []byte("null")
	}
	sh.println(string(data))
	if line.has('s') {
		sh.printStat(stat)
	}
	return nil
}

// javaText is the form of those commands that print the exception itself.
func javaText(err error) error {
	var own *zkstore.Error
	if !errors.As(err, &own) {
		return shellErrorf("%v", err)
	}
	return shellErrorf("%s: %v", own.JavaClass(), own)
}

func shellStat(sh *shell, line *shellLine) error {
	watch := line.has('w')
	if len(line.args) > 2 { // 3.4: stat path watch
		sh.say("'stat path [watch]' has been deprecated. Please use 'stat [-w] path' instead.")
		watch = true
	}
	path, err := sh.pathArg(line)
	if err != nil {
		return err
	}
	stat, err := sh.raw.Stat(sh.ctx, path, watch)
	sh.answered()
	if err != nil {
		return keeperText(err, path)
	}
	sh.printStat(stat)
	return nil
}

func shellSet(sh *shell, line *shellLine) error {
	version, err := line.version()
	if err != nil {
		return err
	}
	path, err := sh.pathArg(line)
	if err != nil {
		return err
	}
	stat, err := sh.raw.Set(sh.ctx, path, line.data(2), version)
	sh.answered()
	if err != nil {
		return keeperText(err, path)
	}
	if line.has('s') {
		sh.printStat(stat)
	}
	return nil
}

func shellCreate(sh *shell, line *shellLine) error {
	if line.has('c') && (line.has('s') || line.has('e')) {
		return shellErrorf("-c cannot be combined with -s or -e. Containers cannot be ephemeral or sequential.")
	}
	if line.has('t') && line.has('e') {
		return shellErrorf("TTLs cannot be used with Ephemeral znodes")
	}
	if line.has('t') && line.has('c') {
		return shellErrorf("TTLs cannot be used with Container znodes")
	}
	flags := int32(0)
	if line.has('e') {
		flags |= zkstore.FlagEphemeral
	}
	if line.has('s') {
		flags |= zkstore.FlagSequential
	}
	if line.has('c') {
		flags = zkstore.FlagContainer
	}
	acl := []zkstore.RawACL{{Perms: 31, Scheme: "world", ID: "anyone"}}
	if len(line.args) > 3 {
		if acl = sh.parseACL(line.args[3]); len(acl) == 0 {
			sh.say("KeeperErrorCode = InvalidACL")
			return shellErrorf("Acl is not valid : null")
		}
	}
	path := line.args[1]
	check := path
	if line.has('s') {
		check += "1" // a sequential name may end with a slash
	}
	if err := zkstore.ValidatePath(check); err != nil {
		return shellErrorf("%v", err)
	}
	created, err := sh.createNode(line, path, flags, acl)
	sh.answered()
	if errors.Is(err, zkstore.ErrInvalidACL) {
		sh.say((&zkstore.Error{Code: zkstore.CodeInvalidACL, Path: path}).Error())
	}
	if err != nil {
		return keeperText(err, path)
	}
	sh.say("Created " + created)
	return nil
}

func (sh *shell) createNode(line *shellLine, path string, flags int32, acl []zkstore.RawACL) (string, error) {
	ttl, ok := line.options['t']
	if !ok {
		return sh.raw.Create(sh.ctx, path, line.data(2), flags, acl)
	}
	ms, err := parseJavaInt(ttl)
	if err != nil {
		return "", err
	}
	return sh.raw.CreateTTL(sh.ctx, path, line.data(2), flags, acl, time.Duration(ms)*time.Millisecond)
}

func shellDelete(sh *shell, line *shellLine) error {
	version, err := line.version()
	if err != nil {
		return err
	}
	if len(line.args) > 2 { // 3.4: delete path version; the version counts for nothing there
		sh.say("'delete path [version]' has been deprecated. Please use 'delete [-v version] path' instead.")
	}
	path, err := sh.pathArg(line)
	if err != nil {
		return err
	}
	err = sh.raw.Delete(sh.ctx, path, version)
	sh.answered()
	if err != nil {
		return keeperText(err, path)
	}
	return nil
}

func shellRemoveRecursive(sh *shell, line *shellLine) error {
	sh.say("The command 'rmr' has been deprecated. Please use 'deleteall' instead.")
	return shellDeleteAll(sh, line)
}

// shellDeleteAll lists everything first and deletes from the last to the
// first, whatever comes to be meanwhile.
func shellDeleteAll(sh *shell, line *shellLine) error {
	path, err := sh.pathArg(line)
	if err != nil {
		return err
	}
	paths := []string{path}
	for i := 0; i < len(paths); i++ {
		if err := zkstore.ValidatePath(paths[i]); err != nil {
			return shellErrorf("%v", err) // "/" cannot be deleted: its children are //x
		}
		children, _, err := sh.raw.Children(sh.ctx, paths[i], false)
		sh.answered()
		if err != nil {
			return keeperText(err, path)
		}
		for _, child := range children {
			paths = append(paths, paths[i]+"/"+child)
		}
	}
	for _, p := range slices.Backward(paths) {
		if err := sh.raw.Delete(sh.ctx, p, -1); err != nil {
			return keeperText(err, path)
		}
	}
	return nil
}

func shellSync(sh *shell, line *shellLine) error {
	path, err := sh.pathArg(line)
	if err != nil {
		return err
	}
	err = sh.raw.Sync(sh.ctx, path)
	sh.answered()
	var own *zkstore.Error
	if errors.As(err, &own) {
		sh.println(fmt.Sprintf("Sync has failed. rc=%d", own.Code))
		return nil
	}
	if err != nil {
		return shellErrorf("%v", err)
	}
	sh.println("Sync is OK")
	return nil
}

// shellConfig shows what the ensemble says about its members.
func shellConfig(sh *shell, line *shellLine) error {
	data, stat, err := sh.raw.Get(sh.ctx, "/zookeeper/config", line.has('w'))
	sh.answered()
	if err != nil {
		return keeperText(err, "/zookeeper/config")
	}
	if line.has('c') {
		sh.println(clientConfig(string(data)))
	} else {
		sh.println(string(data))
	}
	if line.has('s') {
		sh.printStat(stat)
	}
	return nil
}

// clientConfig picks the version and the clients' addresses out of lines such
// as server.1=host:2888:3888:participant;0.0.0.0:2181.
func clientConfig(config string) string {
	version, addresses := "", []string(nil)
	for _, line := range strings.Split(config, "\n") {
		key, value, _ := strings.Cut(line, "=")
		switch {
		case key == "version":
			version = value
		case strings.HasPrefix(key, "server."):
			if _, client, ok := strings.Cut(value, ";"); ok {
				addresses = append(addresses, client)
			}
		}
	}
	return version + " " + strings.Join(addresses, ",")
}

func shellClose(sh *shell, _ *shellLine) error {
	sh.closeSession()
	return nil
}
