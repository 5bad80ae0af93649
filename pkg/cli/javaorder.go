package cli

import (
	"cmp"
	"slices"

	"gregor/pkg/model"
)

// hashMapOrder sorts keys the way a java.util.HashMap lists them when they
// were put in in the given order: Kafka's tools print straight out of such
// maps, and people compare their output. capacity is the one that the map was
// made for, 16 when nothing was said.
//
// A map has a power of two of buckets and doubles them when it is filled to
// three quarters; keys of one bucket stay in the order of their arrival. (A
// bucket of more than eight keys would become a tree; for names of topics and
// settings that does not happen.)
func hashMapOrder(keys []string, capacity int) []string {
	buckets := uint32(1)
	for int(buckets) < capacity {
		buckets *= 2
	}
	for len(keys)*4 > int(buckets)*3 {
		buckets *= 2
	}
	bucket := func(key string) uint32 {
		hash := uint32(model.JavaStringHash(key))
		return (hash ^ hash>>16) & (buckets - 1)
	}
	ordered := slices.Clone(keys)
	slices.SortStableFunc(ordered, func(a, b string) int { return cmp.Compare(bucket(a), bucket(b)) })
	return ordered
}
