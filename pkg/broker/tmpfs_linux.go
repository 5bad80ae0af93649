package broker

import "golang.org/x/sys/unix"

// onTmpfs reports whether a path lies on a file system in memory.
func onTmpfs(path string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(path, &fs) == nil && int64(fs.Type) == unix.TMPFS_MAGIC
}
