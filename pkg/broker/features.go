package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/sirupsen/logrus"

	"gregor/pkg/config"
	"gregor/pkg/zkstore"
)

const (
	featureThread        = "feature-zk-node-event-process-thread"
	featureThreadClass   = "kafka.server.FinalizedFeatureChangeListener$ChangeNotificationProcessorThread"
	featureListenerClass = "kafka.server.FinalizedFeatureChangeListener"
	featureCacheClass    = "kafka.server.FinalizedFeatureCache"
)

// unknownFeatures is the epoch that ApiVersions announces while /feature is
// absent or disabled.
const unknownFeatures = -1

// features is what is known of /feature: the finalized features, which from
// 2.7 on the controller keeps there. No release of the reference has any, so
// that only their epoch, the data version of the node, is told to clients.
type features struct {
	store           *zkstore.Store
	listener, cache *logrus.Entry
	epoch           atomic.Int64
	present         bool
	shown           string // the features last logged, "" when none are known
}

// followFeatures reads /feature and goes on to follow it.
func (b *Broker) followFeatures(ctx context.Context) error {
	b.features = &features{store: b.store, listener: b.loggers.Logger(featureListenerClass), cache: b.loggers.Logger(featureCacheClass)}
	b.features.epoch.Store(unknownFeatures)
	if b.static.InterBrokerProtocol() < config.IBP_2_7_IV0 {
		return nil
	}
	b.announce(featureThreadClass, featureThread)
	if err := b.features.read(ctx, true); err != nil {
		return err
	}
	changed := make(chan struct{}, 1)
	cancel := b.store.WatchNode(zkstore.FeaturePath, func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	b.onStop(func(context.Context) { cancel() })
	b.group.Go(featureThread, func(ctx context.Context) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-changed:
			}
			if err := b.features.read(ctx, false); err != nil && ctx.Err() == nil && !errors.Is(err, zkstore.ErrClosed) {
				b.features.listener.WithError(err).Errorf("the node %s could not be read", zkstore.FeaturePath)
			}
		}
	})
	return nil
}

// read takes over what /feature says now. It is called by the start, then by
// one goroutine.
func (f *features) read(ctx context.Context, first bool) error {
	node, found, err := f.store.Feature(ctx)
	if err != nil {
		return err
	}
	switch known := f.shown != ""; {
	case first && !found:
		f.listener.Infof("Feature ZK node at path: %s does not exist", zkstore.FeaturePath)
	case !first && found && !f.present:
		f.listener.Infof("Feature ZK node created at path: %s", zkstore.FeaturePath)
	case !first && found && int64(node.ZkVersion) != f.epoch.Load() && known:
		f.listener.Infof("Feature ZK node updated at path: %s", zkstore.FeaturePath)
	case !found && f.present:
		f.listener.Infof("Feature ZK node deleted at path: %s", zkstore.FeaturePath)
	}
	disabled := found && node.Status != zkstore.FeaturesEnabled
	if disabled && (f.shown != "" || !f.present) {
		f.listener.Infof("Feature ZK node at path: %s is in disabled status.", zkstore.FeaturePath)
	}
	if !found || disabled {
		if first || f.shown != "" {
			f.cache.Info("Cleared cache")
		}
		f.shown = ""
		f.epoch.Store(unknownFeatures)
	} else if text := showFeatures(node); text != f.shown {
		before := f.shown
		if before == "" {
			before = "<empty>"
		}
		f.cache.Infof("Updated cache from existing %s to latest %s.", before, text)
		f.shown = text
		f.epoch.Store(int64(node.ZkVersion))
	}
	f.present = found
	return nil
}

// showFeatures writes finalized features as Kafka's log does.
func showFeatures(node zkstore.FeatureNode) string {
	parts := make([]string, 0, len(node.Features))
	for _, name := range slices.Sorted(maps.Keys(node.Features)) {
		r := node.Features[name]
		parts = append(parts, fmt.Sprintf("(%s -> FinalizedVersionRange[min_version_level:%d, max_version_level:%d])", name, r.Min, r.Max))
	}
	return fmt.Sprintf("FinalizedFeaturesAndEpoch(features=Features{%s}, epoch=%d)", strings.Join(parts, ", "), node.ZkVersion)
}
