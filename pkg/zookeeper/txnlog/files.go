package txnlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// File is a log or snapshot by the zxid in its name.
type File struct {
	Path string
	Zxid int64
	Ext  string // behind the zxid, of compressed snapshots: "gz", "snappy"
}

// Logs lists the log files of a directory, oldest first. A directory that is
// not there has none.
func Logs(dir string) ([]File, error) { return list(dir, "log") }

// Snapshots lists the snapshots of a directory, oldest first.
func Snapshots(dir string) ([]File, error) { return list(dir, "snapshot") }

func list(dir, prefix string) ([]File, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files []File
	for _, entry := range entries {
		parts := strings.Split(entry.Name(), ".")
		if len(parts) < 2 || parts[0] != prefix {
			continue
		}
		zxid, err := strconv.ParseUint(parts[1], 16, 64)
		if err != nil {
			continue
		}
		files = append(files, File{filepath.Join(dir, entry.Name()), int64(zxid), strings.Join(parts[2:], ".")})
	}
	sort.Slice(files, func(i, j int) bool { return files[i].Zxid < files[j].Zxid })
	return files, nil
}

func logName(zxid int64) string      { return fmt.Sprintf("log.%x", uint64(zxid)) }
func snapshotName(zxid int64) string { return fmt.Sprintf("snapshot.%x", uint64(zxid)) }

// logsFrom keeps the logs that can hold transactions behind zxid: those named
// above it, and the newest one that is not.
func logsFrom(logs []File, zxid int64) []File {
	first := 0
	for i, log := range logs {
		if log.Zxid <= zxid {
			first = i
		}
	}
	return logs[first:]
}

// Purge removes all but the newest retain good snapshots, and the logs that
// none of the kept ones needs. It returns the names of what it removed.
func Purge(snapDir, logDir string, retain int) ([]string, error) {
	snapshots, err := Snapshots(snapDir)
	if err != nil {
		return nil, err
	}
	logs, err := Logs(logDir)
	if err != nil {
		return nil, err
	}
	oldest := -1
	for i := len(snapshots) - 1; i >= 0 && retain > 0; i-- {
		if snapshots[i].Ext != "" || looksComplete(snapshots[i].Path) {
			retain--
			oldest = i
		}
	}
	if oldest < 0 {
		return nil, nil
	}
	needed := logsFrom(logs, snapshots[oldest].Zxid)
	remove := append(logs[:len(logs)-len(needed):len(logs)-len(needed)], snapshots[:oldest]...)
	var removed []string
	for _, file := range remove {
		if err := os.Remove(file.Path); err != nil {
			return removed, err
		}
		removed = append(removed, filepath.Base(file.Path))
	}
	return removed, nil
}

// DirSize is the number of bytes in the files of a directory.
func DirSize(dir string) int64 {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	var size int64
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
	}
	return size
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
