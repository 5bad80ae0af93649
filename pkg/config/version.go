package config

import (
	"fmt"
	"strings"
)

// Version is a version that brokers agree on among themselves, or whose
// record format lies on disk. Versions compare with < and >=.
type Version int8

const (
	IBP_0_8_0 Version = iota
	IBP_0_8_1
	IBP_0_8_2
	IBP_0_9_0
	IBP_0_10_0_IV0
	IBP_0_10_0_IV1
	IBP_0_10_1_IV0
	IBP_0_10_1_IV1
	IBP_0_10_1_IV2
	IBP_0_10_2_IV0
	IBP_0_11_0_IV0
	IBP_0_11_0_IV1
	IBP_0_11_0_IV2
	IBP_1_0_IV0
	IBP_1_1_IV0
	IBP_2_0_IV0
	IBP_2_0_IV1
	IBP_2_1_IV0
	IBP_2_1_IV1
	IBP_2_1_IV2
	IBP_2_2_IV0
	IBP_2_2_IV1
	IBP_2_3_IV0
	IBP_2_3_IV1
	IBP_2_4_IV0
	IBP_2_4_IV1
	IBP_2_5_IV0
	IBP_2_6_IV0
	IBP_2_7_IV0
	IBP_2_7_IV1
	IBP_2_7_IV2
	IBP_2_8_IV0
	IBP_2_8_IV1
)

var versionNames = [...]string{"0.8.0", "0.8.1", "0.8.2", "0.9.0", "0.10.0-IV0", "0.10.0-IV1", "0.10.1-IV0",
	"0.10.1-IV1", "0.10.1-IV2", "0.10.2-IV0", "0.11.0-IV0", "0.11.0-IV1", "0.11.0-IV2", "1.0-IV0", "1.1-IV0",
	"2.0-IV0", "2.0-IV1", "2.1-IV0", "2.1-IV1", "2.1-IV2", "2.2-IV0", "2.2-IV1", "2.3-IV0", "2.3-IV1", "2.4-IV0",
	"2.4-IV1", "2.5-IV0", "2.6-IV0", "2.7-IV0", "2.7-IV1", "2.7-IV2", "2.8-IV0", "2.8-IV1"}

// ParseVersion reads a version as Kafka does: the first two numbers, or three
// when it begins with 0, choose the release; a name without an IV means the
// last one of its release, and whatever follows is not looked at.
func ParseVersion(text string) (Version, error) {
	parts := strings.Split(text, ".")
	count := 2
	if strings.HasPrefix(text, "0.") {
		count = 3
	}
	key := strings.Join(parts[:min(count, len(parts))], ".")
	for v := IBP_2_8_IV1; v >= IBP_0_8_0; v-- {
		if key == v.String() || key == v.Release() {
			return v, nil
		}
	}
	return 0, fmt.Errorf("Version `%s` is not a valid version", text)
}

// String is the full name: "2.8-IV1".
func (v Version) String() string { return versionNames[v] }

// Release is the name without the IV: "2.8".
func (v Version) Release() string {
	release, _, _ := strings.Cut(versionNames[v], "-")
	return release
}

// RecordMagic is the newest record format that the version knows: 0, 1 or 2.
func (v Version) RecordMagic() int8 {
	switch {
	case v >= IBP_0_11_0_IV0:
		return 2
	case v >= IBP_0_10_0_IV0:
		return 1
	default:
		return 0
	}
}

// oldestWithMagic is the release that brought a record format.
func oldestWithMagic(magic int8) Version {
	return [...]Version{IBP_0_8_0, IBP_0_10_0_IV0, IBP_0_11_0_IV0}[magic]
}
