package logmanager

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gregor/pkg/vfs"
)

// BrokerMetadata is what meta.properties says of whose a log directory is.
type BrokerMetadata struct {
	BrokerID  int32 // -1 when the file does not say
	ClusterID string
}

// FatalError ends a start with the text of a Java exception, which users
// search for.
type FatalError struct {
	Class string // full name of the exception
	Text  string
}

func (e *FatalError) Error() string { return e.Text }

// JavaClass is the full name of the Java exception.
func (e *FatalError) JavaClass() string { return e.Class }

func fatal(class, format string, args ...any) error {
	return &FatalError{Class: class, Text: fmt.Sprintf(format, args...)}
}

const metaPropertiesFile = "meta.properties"

// ReadBrokerMetadata reads meta.properties of every log directory. nil
// metadata means that no directory has one; missing lists the directories
// without, offline those that cannot be read, with the reason. Directories
// that disagree are fatal.
func ReadBrokerMetadata(fsys vfs.FS, dirs []string) (found *BrokerMetadata, missing []string, offline map[string]error, err error) {
	offline = map[string]error{}
	var described []string
	differ := false
	for _, dir := range dirs {
		md, err := readMetaProperties(fsys, dir)
		var broken *FatalError
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, dir)
			continue
		case errors.As(err, &broken):
			return nil, nil, nil, err
		case err != nil:
			offline[dir] = err
			continue
		}
		described = append(described, fmt.Sprintf("- %s -> {broker.id=%d, version=0, cluster.id=%s}\n", dir, md.BrokerID, md.ClusterID))
		differ = differ || found != nil && *found != md
		found = &md
	}
	if differ {
		return nil, nil, nil, fatal("kafka.common.InconsistentBrokerMetadataException",
			"BrokerMetadata is not consistent across log.dirs. This could happen if multiple brokers shared a log directory (log.dirs) or partial data was manually copied from another broker. Found:\n%s", strings.Join(described, ""))
	}
	return found, missing, offline, nil
}

func readMetaProperties(fsys vfs.FS, dir string) (BrokerMetadata, error) {
	path := filepath.Join(dir, metaPropertiesFile)
	data, err := vfs.ReadFile(fsys, path, 1<<20)
	if err != nil {
		return BrokerMetadata{}, err
	}
	return parseMetaProperties(path, string(data))
}

func parseMetaProperties(path, text string) (BrokerMetadata, error) {
	md := BrokerMetadata{BrokerID: -1}
	version := "0"
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		at := strings.IndexAny(line, "=:")
		if at < 0 {
			continue
		}
		key, value := strings.TrimSpace(line[:at]), strings.ReplaceAll(strings.TrimSpace(line[at+1:]), `\`, "")
		switch key {
		case "version":
			version = value
		case "cluster.id":
			md.ClusterID = value
		case "broker.id":
			id, err := strconv.ParseInt(value, 10, 32)
			if err != nil {
				return md, fatal("java.lang.RuntimeException", "Invalid value %q of broker.id in %s: a number is expected", value, path)
			}
			md.BrokerID = int32(id)
		}
	}
	if version != "0" {
		return md, fatal("java.lang.RuntimeException", "Expected version 0, but got version %s in %s", version, path)
	}
	return md, nil
}

// WriteBrokerMetadata writes meta.properties where it is missing or says
// something else.
func WriteBrokerMetadata(fsys vfs.FS, dirs []string, md BrokerMetadata) error {
	for _, dir := range dirs {
		if stored, err := readMetaProperties(fsys, dir); err == nil && stored == md {
			continue
		}
		text := fmt.Sprintf("#\n#%s\nbroker.id=%d\nversion=0\ncluster.id=%s\n",
			time.Now().Format("Mon Jan 02 15:04:05 MST 2006"), md.BrokerID, md.ClusterID)
		path := filepath.Join(dir, metaPropertiesFile)
		if err := vfs.WriteFile(fsys, path+".tmp", []byte(text)); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		if err := fsys.Rename(path+".tmp", path); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		if err := fsys.SyncDir(dir); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return nil
}

// CheckBrokerID compares the configured id, negative for "generate one", with
// the stored one.
func (md *BrokerMetadata) CheckBrokerID(configured int32) error {
	if md == nil || md.BrokerID < 0 || configured < 0 || configured == md.BrokerID {
		return nil
	}
	return fatal("kafka.common.InconsistentBrokerIdException",
		"Configured broker.id %d doesn't match stored broker.id Some(%d) in meta.properties. If you moved your data, make sure your configured broker.id matches. If you intend to create a new broker, you should remove all data in your data directories (log.dirs).",
		configured, md.BrokerID)
}

// CheckClusterID compares the cluster's id with the stored one.
func (md *BrokerMetadata) CheckClusterID(clusterID string) error {
	if md == nil || md.ClusterID == "" || md.ClusterID == clusterID {
		return nil
	}
	return fatal("kafka.common.InconsistentClusterIdException",
		"The Cluster ID %s doesn't match stored clusterId Some(%s) in meta.properties. The broker is trying to join the wrong cluster. Configured zookeeper.connect may be wrong.",
		clusterID, md.ClusterID)
}
