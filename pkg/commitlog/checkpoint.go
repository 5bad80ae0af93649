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
	return parseCheckpoint(path, data)
}

// parseCheckpoint's errors are Kafka's sentences.
func parseCheckpoint(path string, data []byte) ([]string, error) {
	if len(data) == 0 {
		return nil, nil
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	switch version, err := strconv.ParseInt(strings.TrimSpace(lines[0]), 10, 32); {
	case err != nil:
		return nil, MalformedLine(path, lines[0])
	case version != 0:
		return nil, corruption("Unrecognized version of the checkpoint file (%s): %d", path, version)
	case len(lines) == 1:
		return nil, nil
	}
	count, err := strconv.Atoi(lines[1])
	switch entries := lines[2:]; {
	case err != nil:
		return nil, MalformedLine(path, lines[1])
	case count != len(entries):
		return nil, corruption("Expected %d entries in checkpoint file (%s), but found only %d", count, path, len(entries))
	default:
		return entries, nil
	}
}

// MalformedLine is the error about a line of a checkpoint file.
func MalformedLine(path, line string) error {
	return corruption("Malformed line in checkpoint file (%s): '%.80s'", path, line)
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
		fsys.Remove(path + ".tmp") // a full disk needs the room more
		return err
	}
	return fsys.Rename(path+".tmp", path)
}
