package broker_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/client"
	"gregor/pkg/testkit"
)

// A request of the controller that waits for ZooKeeper, for the settings of a
// topic, must not hold the end of the broker up.
func TestABrokerStopsWhileZooKeeperIsAway(t *testing.T) {
	link := testkit.NewLink(t, testkit.ZooKeeper(t))
	b := testkit.StartBroker(t, link.Address, map[string]string{"controlled.shutdown.enable": "false"})
	conn, err := client.Dial(deadline(t), b.Addresses()[0], client.Options{ClientID: "controller"})
	require.NoError(t, err)
	defer conn.Close()
	link.Cut()
	req := kmsg.NewPtrLeaderAndISRRequest()
	req.Version, req.ControllerEpoch, req.BrokerEpoch = 4, 100, -1
	partition := kmsg.NewLeaderAndISRRequestTopicPartition()
	partition.Replicas, partition.ISR = []int32{0}, []int32{0}
	topic := kmsg.NewLeaderAndISRRequestTopicState()
	topic.Topic, topic.PartitionStates = "unheard-of", append(topic.PartitionStates, partition)
	req.TopicStates = append(req.TopicStates, topic)
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		conn.Request(context.Background(), req) //nolint:errcheck // the broker ends under it
	}()
	testkit.Eventually(t, "the request is worked on", func() bool {
		return strings.Contains(b.Log.String(), "Handling LeaderAndIsr request correlationId 0 from controller 0 for 1 partitions")
	})
	started := time.Now()
	b.Stop()
	require.Less(t, time.Since(started), 3*time.Second)
	<-answered
}
