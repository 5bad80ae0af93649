package argparse

import (
	"cmp"
	"slices"
	"strings"

	"gregor/pkg/model"
)

// What one step from the word that was typed to an option costs: a letter
// that is missing is the cheapest.
const (
	costChange  = 2
	costMissing = 1
	costSurplus = 4
	costAtMost  = 6 // what is further away is not told
)

// hint names the options that look most like a word nobody knows.
func (p *Parser) hint(flag string) string {
	if !strings.HasPrefix(flag, "--") {
		return ""
	}
	best, names := costAtMost, []string(nil)
	for _, o := range p.options {
		for _, f := range o.flags {
			if !strings.HasPrefix(f, "--") {
				continue
			}
			switch far := distance(flag[2:], f[2:]); {
			case far < best:
				best, names = far, []string{f}
			case far == best:
				names = append(names, f)
			}
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "\n\nDid you mean:\n\t" + strings.Join(names, "\n\t")
}

// distance is what it costs to make want out of typed; two letters that
// changed places cost nothing.
func distance(typed, want string) int {
	before, row := []int(nil), make([]int, len(want)+1)
	for j := range row {
		row[j] = j * costMissing
	}
	for i := 1; i <= len(typed); i++ {
		next := make([]int, len(want)+1)
		next[0] = i * costSurplus
		for j := 1; j <= len(want); j++ {
			next[j] = row[j-1]
			if typed[i-1] != want[j-1] {
				next[j] += costChange
			}
			if i > 1 && j > 1 && typed[i-1] == want[j-2] && typed[i-2] == want[j-1] {
				next[j] = min(next[j], before[j-2])
			}
			next[j] = min(next[j], row[j]+costSurplus, next[j-1]+costMissing)
		}
		before, row = row, next
	}
	return row[len(want)]
}

// firstByHash is the option that comes first in a java.util.HashSet of their
// names.
func firstByHash(options []*Option) *Option {
	return slices.MinFunc(options, func(a, b *Option) int { return cmp.Compare(bucket(a), bucket(b)) })
}

// bucket is the place of an option's flag in a hash table of 16.
func bucket(o *Option) uint32 {
	hash := uint32(model.JavaStringHash(o.flags[0]))
	return (hash ^ hash>>16) & 15
}
