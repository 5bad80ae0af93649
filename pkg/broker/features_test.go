package broker_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/testkit"
	"gregor/pkg/zkstore"
)

func TestFeaturesAreFollowed(t *testing.T) {
	zooKeeper := testkit.ZooKeeper(t)
	b := testkit.StartBroker(t, zooKeeper, nil)
	client := clientOf(t, b.Address)
	epoch := func() int64 {
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = "test", "1"
		resp, err := req.RequestWith(deadline(t), client)
		require.NoError(t, err)
		return resp.FinalizedFeaturesEpoch
	}
	testkit.Eventually(t, "the first controller makes /feature", func() bool { return epoch() == 0 })
	first := b.Log.String()
	for _, line := range []string{
		"[feature-zk-node-event-process-thread]: Starting (kafka.server.FinalizedFeatureChangeListener$ChangeNotificationProcessorThread)",
		"Feature ZK node at path: /feature does not exist (kafka.server.FinalizedFeatureChangeListener)",
		"Cleared cache (kafka.server.FinalizedFeatureCache)",
		"Feature ZK node created at path: /feature (kafka.server.FinalizedFeatureChangeListener)",
		"Updated cache from existing <empty> to latest FinalizedFeaturesAndEpoch(features=Features{}, epoch=0). (kafka.server.FinalizedFeatureCache)",
	} {
		require.Equal(t, 1, strings.Count(first, line), line)
	}
	s := store(t, zooKeeper)
	_, err := s.UpdateFeature(deadline(t), zkstore.FeatureNode{Status: zkstore.FeaturesEnabled, Features: map[string]zkstore.FeatureRange{"f": {Min: 1, Max: 3}}})
	require.NoError(t, err)
	testkit.Eventually(t, "the epoch is the node's version", func() bool { return epoch() == 1 })
	require.Contains(t, b.Log.String(), "Updated cache from existing FinalizedFeaturesAndEpoch(features=Features{}, epoch=0) to latest FinalizedFeaturesAndEpoch(features=Features{(f -> FinalizedVersionRange[min_version_level:1, max_version_level:3])}, epoch=1).")
	_, err = s.UpdateFeature(deadline(t), zkstore.FeatureNode{Status: zkstore.FeaturesDisabled})
	require.NoError(t, err)
	testkit.Eventually(t, "disabled features have no epoch", func() bool { return epoch() == -1 })
	require.Contains(t, b.Log.String(), "Feature ZK node at path: /feature is in disabled status. (kafka.server.FinalizedFeatureChangeListener)")
}

func TestAnOldProtocolHasNoFeatures(t *testing.T) {
	b := testkit.StartBroker(t, testkit.ZooKeeper(t), map[string]string{"inter.broker.protocol.version": "2.6"})
	require.NotContains(t, b.Log.String(), "eature ZK node")
}
