package model

import "unicode/utf16"

// JavaStringHash is String.hashCode of Java: group and transaction
// partitions, fetcher ids and others are placed by it.
func JavaStringHash(s string) int32 {
	var hash int32
	for _, r := range s {
		if r < 0x10000 {
			hash = 31*hash + int32(r)
			continue
		}
		high, low := utf16.EncodeRune(r)
		hash = 31*(31*hash+int32(high)) + int32(low)
	}
	return hash
}

// JavaAbs is Utils.abs of Kafka: the absolute value, and 0 for the smallest
// number, which has none.
func JavaAbs(n int32) int32 {
	if n == -1<<31 {
		return 0
	}
	return max(n, -n)
}
