package zkstore

import (
	"context"
	"errors"

	"gregor/pkg/model"
)

// FeatureStatus says whether the features of /feature count.
type FeatureStatus int

// The statuses of the feature znode.
const (
	FeaturesDisabled FeatureStatus = 0
	FeaturesEnabled  FeatureStatus = 1
)

// FeatureNode is /feature: the versions of features that the cluster has
// finalized. Its ZkVersion is the epoch that ApiVersions announces.
type FeatureNode struct {
	Status    FeatureStatus
	Features  map[string]FeatureRange
	ZkVersion int32 // set by reading, ignored by writing
}

type featureJSON struct {
	Features *map[string]featureLevelsJSON `json:"features"`
	Version  int                           `json:"version"`
	Status   *FeatureStatus                `json:"status"`
}

type featureLevelsJSON struct {
	Min int16  `json:"min_version_level"`
	Max *int16 `json:"max_version_level"`
}

func encodeFeature(n FeatureNode) []byte {
	features := map[string]featureLevelsJSON{}
	for name, r := range n.Features {
		features[name] = featureLevelsJSON{Min: r.Min, Max: &r.Max}
	}
	return encodeJSON(featureJSON{Features: &features, Version: 1, Status: &n.Status})
}

// decodeFeature reads version 1, and version 2 of later lines, which has only
// the maximum.
func decodeFeature(data []byte) (FeatureNode, error) {
	var j featureJSON
	if err := decodeJSON(FeaturePath, data, &j); err != nil {
		return FeatureNode{}, err
	}
	if j.Version < 1 {
		return FeatureNode{}, badData(FeaturePath, "version %d of the feature znode", j.Version)
	}
	if j.Status == nil || *j.Status != FeaturesDisabled && *j.Status != FeaturesEnabled {
		return FeatureNode{}, badData(FeaturePath, "no known status in %s", quoteShort(data))
	}
	if j.Features == nil {
		return FeatureNode{}, badData(FeaturePath, "no features in %s", quoteShort(data))
	}
	n := FeatureNode{Status: *j.Status, Features: map[string]FeatureRange{}}
	for name, levels := range *j.Features {
		if levels.Max == nil {
			return FeatureNode{}, badData(FeaturePath, "feature %q has no max_version_level", name)
		}
		n.Features[name] = FeatureRange{Min: levels.Min, Max: *levels.Max}
	}
	return n, nil
}

// Feature reads /feature; found is false when it is absent.
func (s *Store) Feature(ctx context.Context) (n FeatureNode, found bool, err error) {
	data, stat, err := s.get(ctx, FeaturePath)
	if errors.Is(err, ErrNoNode) {
		return FeatureNode{}, false, nil
	}
	if err != nil {
		return FeatureNode{}, false, err
	}
	n, err = decodeFeature(data)
	n.ZkVersion = stat.Version
	return n, true, err
}

// CreateFeature makes /feature; ErrNodeExists when it is there.
func (s *Store) CreateFeature(ctx context.Context, n FeatureNode) error {
	return s.create(ctx, FeaturePath, encodeFeature(n))
}

// UpdateFeature replaces /feature and returns its new version.
func (s *Store) UpdateFeature(ctx context.Context, n FeatureNode) (zkVersion int32, err error) {
	stat, err := s.set(ctx, FeaturePath, encodeFeature(n), anyVersion, NoFence)
	return stat.Version, err
}

// FeatureNodeText is the JSON that UpdateFeature would write, for log lines.
func FeatureNodeText(n FeatureNode) string { return string(encodeFeature(n)) }

// ProducerIDBlock is a range of producer ids that one broker hands out, both
// ends included.
type ProducerIDBlock struct {
	Broker     model.BrokerID
	Start, End int64
}

type producerIDBlockJSON struct {
	Version int             `json:"version"`
	Broker  *model.BrokerID `json:"broker"`
	Start   *looseText      `json:"block_start"`
	End     *looseText      `json:"block_end"`
}

// looseText is a number that is written as text.
type looseText = timestampJSON

func encodeProducerIDBlock(b ProducerIDBlock) []byte {
	start, end := looseText(b.Start), looseText(b.End)
	return encodeJSON(producerIDBlockJSON{Version: 1, Broker: &b.Broker, Start: &start, End: &end})
}

func decodeProducerIDBlock(data []byte) (ProducerIDBlock, error) {
	var j producerIDBlockJSON
	if err := decodeJSON(ProducerIDBlockPath, data, &j); err != nil {
		return ProducerIDBlock{}, err
	}
	if j.Broker == nil || j.Start == nil || j.End == nil || *j.Start < 0 || *j.End < *j.Start {
		return ProducerIDBlock{}, badData(ProducerIDBlockPath, "no block in %s", quoteShort(data))
	}
	return ProducerIDBlock{Broker: *j.Broker, Start: int64(*j.Start), End: int64(*j.End)}, nil
}

// ProducerIDBlock reads the latest block; found is false before the first.
// version is for SetProducerIDBlock.
func (s *Store) ProducerIDBlock(ctx context.Context) (b ProducerIDBlock, found bool, version int32, err error) {
	data, stat, err := s.get(ctx, ProducerIDBlockPath)
	if err != nil {
		return ProducerIDBlock{}, false, 0, err
	}
	if len(data) == 0 {
		return ProducerIDBlock{}, false, stat.Version, nil
	}
	b, err = decodeProducerIDBlock(data)
	return b, err == nil, stat.Version, err
}

// SetProducerIDBlock claims a block on condition that the node still has the
// version that was read, and returns the new one. ErrBadVersion: another
// broker was faster, read again.
func (s *Store) SetProducerIDBlock(ctx context.Context, b ProducerIDBlock, version int32) (newVersion int32, err error) {
	data := encodeProducerIDBlock(b)
	r := s.one(ctx, op{kind: opSet, path: ProducerIDBlockPath, data: data, version: version})
	if r.lossy && errors.Is(r.err, ErrBadVersion) {
		return s.wroteAlready(ctx, ProducerIDBlockPath, data)
	}
	return r.stat.Version, r.err
}
