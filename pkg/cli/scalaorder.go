package cli

import (
	"cmp"
	"slices"

	"gregor/pkg/model"
)

// scalaMapOrder lists partitions the way an immutable Map of Scala 2.13 does
// into which they were put in the given order: up to four as they came, more
// by their hash, five bits of it a level, single entries of a level before
// those that share a place in it. Kafka's tools print out of such maps.
func scalaMapOrder(partitions []model.TopicPartition) []model.TopicPartition {
	if len(partitions) <= 4 {
		return partitions
	}
	return scalaTrie(partitions, 0, make([]model.TopicPartition, 0, len(partitions)))
}

// scalaTrie appends the entries of a trie's node to out.
func scalaTrie(entries []model.TopicPartition, shift uint, out []model.TopicPartition) []model.TopicPartition {
	if shift >= 32 {
		return append(out, entries...) // the same hash
	}
	var places [32][]model.TopicPartition
	for _, tp := range entries {
		place := improvedHash(partitionHash(tp)) >> shift & 31
		places[place] = append(places[place], tp)
	}
	for _, place := range places {
		if len(place) == 1 {
			out = append(out, place[0])
		}
	}
	for _, place := range places {
		if len(place) > 1 {
			out = scalaTrie(place, shift+5, out)
		}
	}
	return out
}

// improvedHash is how Scala's tries spread a hash code.
func improvedHash(h uint32) uint32 {
	h += ^(h << 9)
	h ^= h >> 14
	h += h << 4
	return h ^ h>>10
}

// partitionHash is hashCode of a TopicPartition.
func partitionHash(tp model.TopicPartition) uint32 {
	return 31*(31+uint32(tp.Partition)) + uint32(model.JavaStringHash(tp.Topic))
}

// partitionsInHashOrder sorts partitions the way a java.util.HashMap lists
// them that was made for so many.
func partitionsInHashOrder(partitions []model.TopicPartition, capacity int) []model.TopicPartition {
	buckets := uint32(1)
	for int(buckets) < capacity {
		buckets *= 2
	}
	for len(partitions)*4 > int(buckets)*3 {
		buckets *= 2
	}
	bucket := func(tp model.TopicPartition) uint32 {
		hash := partitionHash(tp)
		return (hash ^ hash>>16) & (buckets - 1)
	}
	ordered := slices.Clone(partitions)
	slices.SortStableFunc(ordered, func(a, b model.TopicPartition) int { return cmp.Compare(bucket(a), bucket(b)) })
	return ordered
}
