package zkstore

import (
	"context"
	"errors"
)

// Writes that do not depend on each other go in groups, each a transaction
// that checks the fence once: an ensemble logs and agrees on a transaction as
// a whole, so that a thousand partitions cost ten rounds instead of a thousand.
const (
	groupMax      = 100     // writes in a transaction
	groupBytesMax = 1 << 18 // a quarter of jute.maxbuffer
)

// group is a part of a list of writes: those from from up to to.
type group struct{ from, to int }

func groupsOf(ops []op) []group {
	var groups []group
	bytes := 0
	for i, o := range ops {
		if n := len(groups); n == 0 || groups[n-1].to-groups[n-1].from == groupMax || bytes+o.size() > groupBytesMax {
			groups, bytes = append(groups, group{i, i}), 0
		}
		groups[len(groups)-1].to++
		bytes += o.size()
	}
	return groups
}

// writeAll executes writes that do not depend on each other. results[i]
// answers ops[i]. A group that fails was not executed at all; its writes are
// then done one by one, so that each has its own outcome. The error is
// ErrControllerMoved, a lost session, a closed store or a cancelled context.
func (s *Store) writeAll(ctx context.Context, ops []op, fence Fence) ([]result, error) {
	groups := groupsOf(ops)
	multis := make([]op, len(groups))
	for i, g := range groups {
		if g.to-g.from == 1 {
			multis[i] = fenced(fence, ops[g.from])
			continue
		}
		multis[i] = op{kind: opMulti}
		if fence != NoFence {
			multis[i].ops = append(multis[i].ops, op{kind: opCheck, path: ControllerEpochPath, version: int32(fence)})
		}
		multis[i].ops = append(multis[i].ops, ops[g.from:g.to]...)
	}
	answers, err := s.batch(ctx, multis)
	if err != nil {
		return nil, err
	}
	results := make([]result, len(ops))
	var single []int
	for i, g := range groups {
		r := answers[i]
		switch {
		case g.to-g.from == 1:
			if results[g.from] = unfenced(fence, r); errors.Is(results[g.from].err, ErrControllerMoved) {
				return nil, ErrControllerMoved
			}
		case r.err == nil:
			copy(results[g.from:g.to], r.each[len(r.each)-(g.to-g.from):])
		case fence != NoFence && len(r.each) > 0 && errors.Is(r.each[0].err, ErrBadVersion):
			return nil, ErrControllerMoved
		default:
			for at := g.from; at < g.to; at++ {
				results[at].lossy = r.lossy
				single = append(single, at)
			}
		}
	}
	return results, s.writeSingly(ctx, ops, single, fence, results)
}

// writeSingly executes some of the writes, each by itself.
func (s *Store) writeSingly(ctx context.Context, ops []op, which []int, fence Fence, results []result) error {
	each := make([]op, len(which))
	for i, at := range which {
		each[i] = fenced(fence, ops[at])
	}
	answers, err := s.batch(ctx, each)
	if err != nil {
		return err
	}
	for i, at := range which {
		lossy := results[at].lossy
		results[at] = unfenced(fence, answers[i])
		results[at].lossy = results[at].lossy || lossy
		if errors.Is(results[at].err, ErrControllerMoved) {
			return ErrControllerMoved
		}
	}
	return nil
}
