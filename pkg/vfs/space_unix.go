//go:build linux || darwin || freebsd

package vfs

import "golang.org/x/sys/unix"

// DiskSpace is the size of the disk that a directory of the real system is
// on, and how much of it this process may still use.
func DiskSpace(dir string) (total, free uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	size := uint64(s.Bsize)
	available := uint64(max(0, int64(s.Bavail)))
	// What is set aside for root counts as used up, as df has it.
	return (s.Blocks - s.Bfree + available) * size, available * size, nil
}
