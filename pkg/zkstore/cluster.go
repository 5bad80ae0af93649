package zkstore

import (
	"context"
	"errors"
	"strconv"

	"gregor/pkg/model"
)

type clusterIDJSON struct {
	Version string  `json:"version"` // a string, unlike everywhere else
	ID      *string `json:"id"`
}

func encodeClusterID(id string) []byte { return encodeJSON(clusterIDJSON{Version: "1", ID: &id}) }

func decodeClusterID(data []byte) (string, error) {
	var j struct {
		ID *string `json:"id"`
	}
	if err := decodeJSON(ClusterIDPath, data, &j); err != nil {
		return "", err
	}
	if j.ID == nil || *j.ID == "" {
		return "", badData(ClusterIDPath, "no id in %s", quoteShort(data))
	}
	return *j.ID, nil
}

// ClusterID reads the cluster's id; found is false before the first broker.
func (s *Store) ClusterID(ctx context.Context) (id string, found bool, err error) {
	data, _, err := s.get(ctx, ClusterIDPath)
	if errors.Is(err, ErrNoNode) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	id, err = decodeClusterID(data)
	return id, err == nil, err
}

// CreateOrGetClusterID proposes an id and returns the one that counts: that
// of the first broker.
func (s *Store) CreateOrGetClusterID(ctx context.Context, proposed string) (string, error) {
	for {
		id, found, err := s.ClusterID(ctx)
		if err != nil || found {
			return id, err
		}
		err = s.createRecursive(ctx, ClusterIDPath, encodeClusterID(proposed))
		if err == nil {
			return proposed, nil
		}
		if !errors.Is(err, ErrNodeExists) {
			return "", err
		}
	}
}

// GenerateBrokerID draws a number for a broker without one: the first above
// reservedMax, then the next, and so on. A number is never given twice; a
// lost connection may leave one out.
func (s *Store) GenerateBrokerID(ctx context.Context, reservedMax model.BrokerID) (model.BrokerID, error) {
	for {
		stat, err := s.set(ctx, BrokerSeqIDPath, []byte{}, anyVersion, NoFence)
		if err == nil {
			return reservedMax + model.BrokerID(stat.Version), nil
		}
		if !errors.Is(err, ErrNoNode) {
			return model.NoBroker, err
		}
		if err := s.ensurePath(ctx, BrokerSeqIDPath); err != nil {
			return model.NoBroker, err
		}
	}
}

// ConsumerOffset reads an offset that OffsetCommit v0 stored; found is false
// when there is none.
func (s *Store) ConsumerOffset(ctx context.Context, group string, tp model.TopicPartition) (offset int64, found bool, err error) {
	path := consumerOffsetPath(group, tp)
	data, _, err := s.get(ctx, path)
	if errors.Is(err, ErrNoNode) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	offset, err = decodeOffset(path, data)
	return offset, err == nil, err
}

// SetConsumerOffset stores an offset of OffsetCommit v0.
func (s *Store) SetConsumerOffset(ctx context.Context, group string, tp model.TopicPartition, offset int64) error {
	path, data := consumerOffsetPath(group, tp), []byte(strconv.FormatInt(offset, 10))
	_, err := s.set(ctx, path, data, anyVersion, NoFence)
	if !errors.Is(err, ErrNoNode) {
		return err
	}
	err = s.createRecursive(ctx, path, data)
	if errors.Is(err, ErrNodeExists) {
		_, err = s.set(ctx, path, data, anyVersion, NoFence)
	}
	return err
}

func consumerOffsetPath(group string, tp model.TopicPartition) string {
	return ConsumersPath + "/" + group + "/offsets/" + tp.Topic + "/" + strconv.Itoa(int(tp.Partition))
}

func decodeOffset(path string, data []byte) (int64, error) {
	offset, err := strconv.ParseInt(string(data), 10, 64)
	if err != nil {
		return 0, badData(path, "%s is not an offset", quoteShort(data))
	}
	return offset, nil
}
