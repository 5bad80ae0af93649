//go:build !(linux || darwin || freebsd)

package vfs

// OpenFileLimit is what such systems allow at least.
func OpenFileLimit() int { return 8192 }
