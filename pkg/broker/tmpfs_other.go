//go:build !linux

package broker

// onTmpfs is known on Linux only.
func onTmpfs(string) bool { return false }
