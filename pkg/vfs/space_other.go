//go:build !(linux || darwin || freebsd)

package vfs

import "errors"

// DiskSpace is not known on this system.
func DiskSpace(string) (total, free uint64, err error) { return 0, 0, errors.ErrUnsupported }
