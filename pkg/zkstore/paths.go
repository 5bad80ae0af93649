package zkstore

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"gregor/pkg/model"
)

// Paths of Kafka's znodes, without the chroot.
const (
	ConsumersPath         = "/consumers"
	BrokerIDsPath         = "/brokers/ids"
	TopicsPath            = "/brokers/topics"
	BrokerSeqIDPath       = "/brokers/seqid"
	ControllerPath        = "/controller"
	ControllerEpochPath   = "/controller_epoch"
	ConfigPath            = "/config"
	ConfigChangesPath     = "/config/changes"
	DeleteTopicsPath      = "/admin/delete_topics"
	ReassignPath          = "/admin/reassign_partitions"
	PreferredElectionPath = "/admin/preferred_replica_election"
	IsrChangesPath        = "/isr_change_notification"
	LogDirEventsPath      = "/log_dir_event_notification"
	ClusterIDPath         = "/cluster/id"
	FeaturePath           = "/feature"
	ProducerIDBlockPath   = "/latest_producer_id_block"
)

// The entity types below /config.
const (
	EntityTopics  = "topics"
	EntityBrokers = "brokers"
	EntityClients = "clients"
	EntityUsers   = "users"
	EntityIPs     = "ips"
)

// DefaultEntity is the node name of an entity type's default.
const DefaultEntity = "<default>"

// topLevelPaths in the order in which Kafka makes them.
var topLevelPaths = []string{
	ConsumersPath, BrokerIDsPath, TopicsPath, ConfigChangesPath, DeleteTopicsPath, BrokerSeqIDPath,
	IsrChangesPath, ProducerIDBlockPath, LogDirEventsPath,
	ConfigPath + "/topics", ConfigPath + "/clients", ConfigPath + "/users", ConfigPath + "/brokers", ConfigPath + "/ips",
}

// BrokerPath is the registration of a broker.
func BrokerPath(id model.BrokerID) string { return BrokerIDsPath + "/" + id.String() }

// TopicPath is the node that holds a topic's assignment.
func TopicPath(topic string) string { return TopicsPath + "/" + topic }

// PartitionsPath is the parent of a topic's partitions.
func PartitionsPath(topic string) string { return TopicPath(topic) + "/partitions" }

// PartitionPath is the parent of a partition's state.
func PartitionPath(tp model.TopicPartition) string {
	return PartitionsPath(tp.Topic) + "/" + strconv.Itoa(int(tp.Partition))
}

// PartitionStatePath is the leader and ISR of a partition.
func PartitionStatePath(tp model.TopicPartition) string { return PartitionPath(tp) + "/state" }

// EntityPath is the configuration of an entity. The name is sanitized already
// and may have several parts: "u/clients/c".
func EntityPath(entityType, name string) string { return ConfigPath + "/" + entityType + "/" + name }

// DeleteTopicPath is the mark of a topic that is to be deleted.
func DeleteTopicPath(topic string) string { return DeleteTopicsPath + "/" + topic }

// SanitizeName encodes a user, client or ip name for use as a node name.
// Topic names, broker ids and DefaultEntity are not encoded.
func SanitizeName(name string) string {
	encoded := url.QueryEscape(name) // as java.net.URLEncoder, but for * and ~
	encoded = strings.ReplaceAll(encoded, "~", "%7E")
	encoded = strings.ReplaceAll(encoded, "*", "%2A")
	return strings.ReplaceAll(encoded, "+", "%20")
}

// DesanitizeName undoes SanitizeName.
func DesanitizeName(name string) (string, error) { return url.QueryUnescape(name) }

// CreateTopLevelPaths makes the nodes that every broker expects, in Kafka's
// order; those that exist stay as they are.
func (s *Store) CreateTopLevelPaths(ctx context.Context) error {
	for _, path := range topLevelPaths {
		if err := s.ensurePath(ctx, path); err != nil {
			return err
		}
	}
	return nil
}

// ensurePath creates path with null data, parents first where they are
// missing. That it exists already is no error.
func (s *Store) ensurePath(ctx context.Context, path string) error {
	err := s.createRecursive(ctx, path, nil)
	if errors.Is(err, ErrNodeExists) {
		return nil
	}
	return err
}

// createRecursive tries the whole path first and creates parents, from the
// top, only when they are missing.
func (s *Store) createRecursive(ctx context.Context, path string, data []byte) error {
	err := s.create(ctx, path, data)
	if !errors.Is(err, ErrNoNode) {
		return err
	}
	parts := strings.Split(path[1:], "/")
	for i := 1; i < len(parts); i++ {
		parent := "/" + strings.Join(parts[:i], "/")
		if err := s.create(ctx, parent, nil); err != nil && !errors.Is(err, ErrNodeExists) {
			return err
		}
	}
	return s.create(ctx, path, data)
}

// deleteRecursive removes path and everything below, leaves first, each under
// the fence. Nodes that vanish meanwhile are no error.
func (s *Store) deleteRecursive(ctx context.Context, path string, fence Fence) error {
	levels, err := s.subtree(ctx, path)
	if err != nil {
		return err
	}
	for _, level := range slices.Backward(levels) {
		if err := s.deleteAll(ctx, level, fence); err != nil {
			return err
		}
	}
	return nil
}

// subtree lists path and everything below by depth.
func (s *Store) subtree(ctx context.Context, path string) ([][]string, error) {
	var levels [][]string
	for level := []string{path}; len(level) > 0; {
		ops := make([]op, len(level))
		for i, p := range level {
			ops[i] = op{kind: opChildren, path: p}
		}
		results, err := s.batch(ctx, ops)
		if err != nil {
			return nil, err
		}
		var here, below []string
		for i, r := range results {
			if errors.Is(r.err, ErrNoNode) {
				continue
			}
			if r.err != nil {
				return nil, r.err
			}
			here = append(here, level[i])
			for _, child := range r.children {
				below = append(below, level[i]+"/"+child)
			}
		}
		levels, level = append(levels, here), below
	}
	return levels, nil
}

// deleteAll removes nodes of which none is above another. One that is gone
// already is no error.
func (s *Store) deleteAll(ctx context.Context, paths []string, fence Fence) error {
	ops := make([]op, len(paths))
	for i, p := range paths {
		ops[i] = op{kind: opDelete, path: p, version: anyVersion}
	}
	results, err := s.writeAll(ctx, ops, fence)
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.err != nil && !errors.Is(r.err, ErrNoNode) {
			return r.err
		}
	}
	return nil
}

// getAll reads many nodes at once; results are in the order of paths.
func (s *Store) getAll(ctx context.Context, paths []string) ([]result, error) {
	ops := make([]op, len(paths))
	for i, p := range paths {
		ops[i] = op{kind: opGet, path: p}
	}
	return s.batch(ctx, ops)
}

// eachPresent hands the results of nodes that exist to decode and joins what
// is wrong with them and with the others.
func eachPresent(results []result, decode func(i int, r result) error) error {
	var bad []error
	for i, r := range results {
		err := r.err
		if err == nil {
			err = decode(i, r)
		}
		if err != nil && !errors.Is(err, ErrNoNode) {
			bad = append(bad, err)
		}
	}
	return errors.Join(bad...)
}

// sortedChildren is the children of a node, none when it is absent.
func (s *Store) sortedChildren(ctx context.Context, path string) ([]string, error) {
	names, _, err := s.children(ctx, path)
	if errors.Is(err, ErrNoNode) {
		return nil, nil
	}
	slices.Sort(names)
	return names, err
}
