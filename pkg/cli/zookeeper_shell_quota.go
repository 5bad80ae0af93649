package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"gregor/pkg/zkstore"
)

// Quotas are nodes below /zookeeper/quota: for each path one with the limits
// and one in which the server counts.
const (
	quotaRoot   = "/zookeeper/quota"
	quotaLimits = "/zookeeper_limits"
	quotaStats  = "/zookeeper_stats"
)

// quotaTrack is the content of both: "count=5,bytes=-1".
type quotaTrack struct{ count, bytes int64 }

func (q quotaTrack) String() string { return fmt.Sprintf("count=%d,bytes=%d", q.count, q.bytes) }

func parseQuota(data []byte) (quotaTrack, error) {
	count, bytes, ok := strings.Cut(string(data), ",")
	count, isCount := strings.CutPrefix(count, "count=")
	bytes, isBytes := strings.CutPrefix(bytes, "bytes=")
	n, err1 := strconv.ParseInt(count, 10, 64)
	b, err2 := strconv.ParseInt(bytes, 10, 64)
	if !ok || !isCount || !isBytes || err1 != nil || err2 != nil {
		return quotaTrack{}, &javaException{fmt.Sprintf("java.lang.IllegalArgumentException: invalid string %s", data)}
	}
	return quotaTrack{n, b}, nil
}

func (sh *shell) readQuota(path string) (quotaTrack, error) {
	data, _, err := sh.raw.Get(sh.ctx, path, false)
	if err != nil {
		return quotaTrack{}, err
	}
	return parseQuota(data)
}

func shellListQuota(sh *shell, line *shellLine) error {
	path, err := sh.pathArg(line)
	if err != nil {
		return err
	}
	sh.say("absolute path is " + quotaRoot + path + quotaLimits)
	limits, err := sh.readQuota(quotaRoot + path + quotaLimits)
	sh.answered()
	if err == nil {
		sh.println(fmt.Sprintf("Output quota for %s %v", path, limits))
		var stats quotaTrack
		if stats, err = sh.readQuota(quotaRoot + path + quotaStats); err == nil {
			sh.println(fmt.Sprintf("Output stat for %s %v", path, stats))
		}
	}
	if errors.Is(err, zkstore.ErrNoNode) {
		sh.say("quota for " + path + " does not exist.")
		return nil
	}
	return quotaError(err, path)
}

// quotaError leaves the errors of the shell as they are.
func quotaError(err error, path string) error {
	var exception *javaException
	if err == nil || errors.As(err, &exception) {
		return err
	}
	return keeperText(err, path)
}

func illegal(format string, args ...any) error {
	return &javaException{"java.lang.IllegalArgumentException: " + fmt.Sprintf(format, args...)}
}

func shellSetQuota(sh *shell, line *shellLine) error {
	limits := quotaTrack{-1, -1}
	for option, field := range map[byte]*int64{'n': &limits.count, 'b': &limits.bytes} {
		if text, ok := line.options[option]; ok {
			n, err := parseJavaInt(text)
			if err != nil {
				return err
			}
			*field = int64(n)
		}
	}
	if len(line.options) != 1 {
		return shellErrorf("org.apache.commons.cli.MissingOptionException: Missing required option: [-b bytes quota, -n num quota]")
	}
	path, err := sh.pathArg(line)
	if err != nil {
		return err
	}
	_, err = sh.raw.Stat(sh.ctx, path, false)
	sh.answered()
	if errors.Is(err, zkstore.ErrNoNode) {
		return illegal("%s does not exist.", path)
	}
	if err == nil {
		err = sh.checkOtherQuotas(path)
	}
	if err == nil {
		err = sh.createQuota(path, limits)
	}
	return quotaError(err, path)
}

// checkOtherQuotas refuses a second quota on a branch, on the node itself as
// well.
func (sh *shell) checkOtherQuotas(path string) error {
	err := sh.walkBelow(quotaRoot+path, false, func(below string) error {
		if owner, ok := strings.CutSuffix(below, quotaLimits); ok && owner != quotaRoot+path {
			return illegal("%s has a child %s which has a quota", path, strings.TrimPrefix(owner, quotaRoot))
		}
		return nil
	})
	for above := quotaRoot + path; err == nil && above != quotaRoot; above = above[:strings.LastIndexByte(above, '/')] {
		_, statErr := sh.raw.Stat(sh.ctx, above+quotaLimits, false)
		if statErr == nil {
			return illegal("%s has a parent %s which has a quota", path, above)
		}
		if !errors.Is(statErr, zkstore.ErrNoNode) {
			return statErr
		}
	}
	return err
}

func (sh *shell) createQuota(path string, limits quotaTrack) error {
	open := []zkstore.RawACL{{Perms: 31, Scheme: "world", ID: "anyone"}}
	parent := quotaRoot
	for _, part := range strings.Split(strings.TrimPrefix(path, "/"), "/") {
		parent += "/" + part
		if _, err := sh.raw.Create(sh.ctx, parent, nil, 0, open); err != nil && !errors.Is(err, zkstore.ErrNodeExists) {
			return err
		}
	}
	if _, err := sh.raw.Create(sh.ctx, parent+quotaLimits, []byte(limits.String()), 0, open); err != nil {
		return err
	}
	_, err := sh.raw.Create(sh.ctx, parent+quotaStats, []byte(quotaTrack{}.String()), 0, open)
	return err
}

func shellDelQuota(sh *shell, line *shellLine) error {
	path, err := sh.pathArg(line)
	if err != nil {
		return err
	}
	limits, err := sh.readQuota(quotaRoot + path + quotaLimits)
	sh.answered()
	if errors.Is(err, zkstore.ErrNoNode) {
		sh.println("Quota does not exist for " + path)
		return nil
	}
	if err != nil {
		return quotaError(err, path)
	}
	switch {
	case line.has('n'):
		limits.count = -1
	case line.has('b'):
		limits.bytes = -1
	default:
		return quotaError(sh.removeQuota(path), path)
	}
	_, err = sh.raw.Set(sh.ctx, quotaRoot+path+quotaLimits, []byte(limits.String()), -1)
	return quotaError(err, path)
}

// removeQuota deletes both nodes, and the nodes above that are empty then.
func (sh *shell) removeQuota(path string) error {
	for _, name := range []string{quotaLimits, quotaStats} {
		if err := sh.raw.Delete(sh.ctx, quotaRoot+path+name, -1); err != nil && !errors.Is(err, zkstore.ErrNoNode) {
			return err
		}
	}
	for node := quotaRoot + path; node != quotaRoot; node = node[:strings.LastIndexByte(node, '/')] {
		err := sh.raw.Delete(sh.ctx, node, -1)
		if errors.Is(err, zkstore.ErrNotEmpty) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}
