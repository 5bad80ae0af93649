//go:build linux || darwin || freebsd

package vfs

import (
	"math"

	"golang.org/x/sys/unix"
)

// OpenFileLimit is how many files this process may have open at a time, after
// raising it as far as the system lets an ordinary process raise it.
func OpenFileLimit() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 1024
	}
	if limit.Cur < limit.Max {
		raised := limit
		raised.Cur = raised.Max
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &raised) == nil {
			limit = raised
		}
	}
	return int(min(uint64(limit.Cur), math.MaxInt32))
}
