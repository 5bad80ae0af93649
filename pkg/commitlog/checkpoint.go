package commitlog

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"gregor/pkg/vfs"
)

// Checkpoint files are text, part of the format: a line "0" (the version), a
// line with the number of entries, and a line for each entry. An empty file
// has no entries. They are replaced as a whole: written to a file with .tmp
// added to its name, synced, renamed.

const checkpointBytesMax = 256 << 20

// ReadCheckpoint returns the lines of a checkpoint file. A wrong version or
// count is ErrCorrupt.
func ReadCheckpoint(fsys vfs.FS, path string) ([]string, error) {
	data, err := vfs.ReadFile(fsys, path, checkpointBytesMax)
	if err != nil {
		return nil, err
	}
	lines, err := parseCheckpoint(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return lines, nil
}

func parseCheckpoint(data []byte) ([]string, error) {
	if len(data) == 0 {
		return nil, nil
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if lines[0] != "0" {
		return nil, fmt.Errorf("checkpoint of version %.20q: %w", lines[0], ErrCorrupt)
	}
	if len(lines) == 1 {
		return nil, fmt.Errorf("checkpoint without a count: %w", ErrCorrupt)
	}
	count, err := strconv.Atoi(lines[1])
	if err != nil || count != len(lines)-2 {
		return nil, fmt.Errorf("checkpoint says %.20q entries and has %d: %w", lines[1], len(lines)-2, ErrCorrupt)
	}
	return lines[2:], nil
}

// WriteCheckpoint replaces a checkpoint file; lines are count lines, each
// with its line end. When it returns the new contents are durable.
func WriteCheckpoint(fsys vfs.FS, path string, count int, lines []byte) error {
	if err := replaceFile(fsys, path, checkpointText(count, lines)); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(path))
}

func checkpointText(count int, lines []byte) []byte {
	return append(fmt.Appendf(nil, "0\n%d\n", count), lines...)
}

// replaceFile writes a file so that a crash leaves the old or the new one.
func replaceFile(fsys vfs.FS, path string, data []byte) error {
	if err := vfs.WriteFile(fsys, path+".tmp", data); err != nil {
		return err
	}
	return fsys.Rename(path+".tmp", path)
}
