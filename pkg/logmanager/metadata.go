package logmanager

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"gregor/pkg/config"
	"gregor/pkg/vfs"
)

// BrokerMetadata is what meta.properties says of whose a log directory is.
type BrokerMetadata struct {
	BrokerID  int32 // -1 when the file does not say
	ClusterID string

	version int32
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
	var first map[string]string
	var described []string
	differ, path := false, ""
	for _, dir := range dirs {
		raw, err := readMetaProperties(fsys, dir)
		var broken *config.Error
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, dir)
			continue
		case errors.As(err, &broken):
			return nil, nil, nil, fatal(broken.Class, "%s", broken.Text)
		case err != nil:
			offline[dir] = err
			continue
		}
		described = append(described, fmt.Sprintf("- %s -> %s\n", dir, javaMap(raw)))
		delete(raw, directoryID) // of newer brokers; each directory has its own
		differ = differ || first != nil && !maps.Equal(first, raw)
		first, path = raw, filepath.Join(dir, metaPropertiesFile)
	}
	if differ {
		return nil, nil, nil, fatal("kafka.common.InconsistentBrokerMetadataException",
			"BrokerMetadata is not consistent across log.dirs. This could happen if multiple brokers shared a log directory (log.dirs) or partial data was manually copied from another broker. Found:\n%s", strings.Join(described, ""))
	}
	if first == nil {
		return nil, missing, offline, nil
	}
	md, err := interpretMetaProperties(path, first)
	return &md, missing, offline, err
}

const directoryID = "directory.id"

func readMetaProperties(fsys vfs.FS, dir string) (map[string]string, error) {
	path := filepath.Join(dir, metaPropertiesFile)
	data, err := vfs.ReadFile(fsys, path, 1<<20)
	if err != nil {
		return nil, err
	}
	properties, err := config.ParseProperties(path, data)
	if err != nil {
		return nil, err
	}
	return properties.Map(), nil
}

func interpretMetaProperties(path string, raw map[string]string) (BrokerMetadata, error) {
	md := BrokerMetadata{BrokerID: -1, ClusterID: raw["cluster.id"]}
	for key, set := range map[string]func(int64){"version": func(n int64) {
		md.version = int32(n)
	}, "broker.id": func(n int64) { md.BrokerID = int32(n) }} {
		text, given := raw[key]
		if !given {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return md, fatal("java.lang.RuntimeException", "Invalid value %q of %s in %s: a number is expected", text, key, path)
		}
		set(n)
	}
	if md.version != 0 {
		return md, fatal("java.lang.RuntimeException",
			"Found unexpected version in loaded `meta.properties`: %s. Zk-based brokers only support version 0 (which is implicit when the `version` field is missing).", javaMap(raw))
	}
	return md, nil
}

// javaMap writes properties as java.util.Properties does, in the order in
// which its hash table of sixteen slots is walked.
func javaMap(properties map[string]string) string {
	slot := func(key string) uint32 {
		var hash uint32
		for _, unit := range utf16.Encode([]rune(key)) {
			hash = 31*hash + uint32(unit)
		}
		return (hash ^ hash>>16) & 15
	}
	keys := slices.SortedFunc(maps.Keys(properties), func(a, b string) int {
		return cmp.Or(cmp.Compare(slot(a), slot(b)), cmp.Compare(a, b))
	})
	for i, key := range keys {
		keys[i] = key + "=" + properties[key]
	}
	return "{" + strings.Join(keys, ", ") + "}"
}

// WriteBrokerMetadata writes meta.properties where it is missing or says
// something else. What other brokers have added to it stays.
func WriteBrokerMetadata(fsys vfs.FS, dirs []string, md BrokerMetadata) error {
	for _, dir := range dirs {
		raw, err := readMetaProperties(fsys, dir)
		if err == nil {
			if stored, err := interpretMetaProperties(dir, raw); err == nil && stored == md {
				continue
			}
		}
		text := fmt.Sprintf("#\n#%s\nbroker.id=%d\nversion=0\ncluster.id=%s\n",
			time.Now().Format("Mon Jan 02 15:04:05 MST 2006"), md.BrokerID, md.ClusterID)
		if id, found := raw[directoryID]; found {
			text += directoryID + "=" + id + "\n"
		}
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
