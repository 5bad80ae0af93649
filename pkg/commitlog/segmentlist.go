package commitlog

import (
	"slices"
	"sort"
	"strings"
)

// segmentList is the segments of a log by base offset. It is never changed:
// the writer makes a new one, readers keep the one they loaded.
type segmentList []*segment

func (l segmentList) active() *segment { return l[len(l)-1] }

// floor is the index of the segment that an offset belongs to: the last one
// whose base is not above it, -1 when there is none.
func (l segmentList) floor(offset int64) int {
	return sort.Search(len(l), func(i int) bool { return l[i].base > offset }) - 1
}

// between is the segments that may hold offsets of [from, to).
func (l segmentList) between(from, to int64) segmentList {
	low := max(0, l.floor(from))
	high := low
	for high < len(l) && l[high].base < to {
		high++
	}
	return l[low:high]
}

func (l segmentList) with(s *segment) *segmentList {
	next := append(slices.Clone(l), s)
	slices.SortFunc(next, func(a, b *segment) int { return int(min(max(a.base-b.base, -1), 1)) })
	return &next
}

func (l segmentList) without(gone segmentList) *segmentList {
	next := slices.DeleteFunc(slices.Clone(l), func(s *segment) bool { return slices.Contains(gone, s) })
	return &next
}

// joinSegments is how Kafka lists segments in a line.
func joinSegments(l segmentList) string {
	var names []string
	for _, s := range l {
		names = append(names, s.String())
	}
	return strings.Join(names, ",")
}
