package logmanager

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"gregor/pkg/vfs"
)

// The file whose presence says that every log of a directory was flushed and
// closed. Up to Kafka 3.6 it is empty; later brokers write a line of JSON with
// the broker epoch, -1 under ZooKeeper, and read what they do not know as no
// epoch. A directory gets back the form that was found in it.
const (
	cleanShutdownFile     = ".kafka_cleanshutdown"
	cleanShutdownBytesMax = 64 << 10
)

type cleanShutdownMark struct {
	Version     int   `json:"version"`
	BrokerEpoch int64 `json:"brokerEpoch"`
}

// takeCleanMark removes the mark, so that it holds for this start only, and
// says whether it was there and in which form.
func takeCleanMark(fsys vfs.FS, dir string) (clean, withEpoch bool, err error) {
	path := filepath.Join(dir, cleanShutdownFile)
	text, err := vfs.ReadFile(fsys, path, cleanShutdownBytesMax)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, false, nil
	case err != nil && !errors.Is(err, vfs.ErrTooLarge):
		return false, false, err
	}
	var mark cleanShutdownMark
	withEpoch = json.Unmarshal(text, &mark) == nil
	if err := fsys.Remove(path); err != nil {
		return false, false, err
	}
	return true, withEpoch, fsys.SyncDir(dir)
}

func writeCleanMark(fsys vfs.FS, dir string, withEpoch bool) error {
	var text []byte
	if withEpoch {
		text = fmt.Appendf(nil, `{"version":0,"brokerEpoch":%d}`, -1)
	}
	if err := vfs.WriteFile(fsys, filepath.Join(dir, cleanShutdownFile), text); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}
