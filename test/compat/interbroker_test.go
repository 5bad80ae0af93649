//go:build compat

package compat

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A broker of ours and a Java broker hold the same two partitions and speak
// the protocol of a release among themselves. Each is killed under load in
// turn and comes back: nothing that was acknowledged is lost, and in the end
// both have the same files.
func TestReplicationBetweenUsAndJava(t *testing.T) {
	for _, row := range []struct {
		protocol string
		java     kind
	}{{"2.8", kafka28}, {"2.7", kafka28}, {"2.4", kafka28}, {"2.0", kafka28}, {"1.1", kafka28}, {"1.0", kafka28}, {"0.11.0", kafka28}, {"0.10.2", kafka28}, {"2.8", kafka39}} {
		t.Run(row.protocol+" with "+string(row.java), func(t *testing.T) {
			const topic = "t"
			zk := zooKeeper(t, gregor, t.TempDir(), 0)
			kinds := []kind{gregor, row.java}
			dirs := []string{t.TempDir(), t.TempDir()}
			settings := make([]map[string]string, 2)
			brokers := make([]*server, 2)
			for id, k := range kinds {
				settings[id] = map[string]string{"inter.broker.protocol.version": row.protocol, "replica.lag.time.max.ms": "5000",
					"listeners": fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", freePort(t))}
				if row.java == kafka28 {
					settings[id]["log.message.format.version"] = row.protocol
				}
				brokers[id] = broker(t, k, id, zk.Address, dirs[id], settings[id])
			}
			seeds := brokers[0].Address + "," + brokers[1].Address
			assign(t, []string{brokers[0].Address, brokers[1].Address}, topic, [][]int32{{0, 1}, {1, 0}})
			awaitReplicas(t, brokers[0].Address, topic, 2, -1)
			var options []kgo.Opt
			if row.protocol == "0.10.2" { // its records have no producers
				options = append(options, kgo.DisableIdempotentWrite())
			}
			l := startLoad(t, seeds, topic, options...)
			l.awaitMore(t, 2000)
			for id := range brokers {
				brokers[id].kill()
				awaitReplicas(t, brokers[1-id].Address, topic, 1, int32(1-id))
				l.awaitMore(t, 2000)
				brokers[id] = broker(t, kinds[id], id, zk.Address, dirs[id], settings[id])
				awaitReplicas(t, brokers[1-id].Address, topic, 2, -1)
				l.awaitMore(t, 2000)
			}
			l.stop()
			l.check(t, seeds, topic)
			for partition := range 2 {
				name := fmt.Sprintf("%s-%d", topic, partition)
				eventually(t, 20*time.Second, "the files of "+name+" are the same", func() bool {
					ours := segments(t, filepath.Join(dirs[0], name))
					return len(ours) > 0 && slices.Equal(ours, segments(t, filepath.Join(dirs[1], name)))
				})
			}
		})
	}
}

// segments is the content of a partition's log files, one after the other.
func segments(t *testing.T, dir string) []byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.log"))
	require.NoError(t, err)
	var all []byte
	for _, name := range names {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		all = append(all, text...)
	}
	return all
}

// assign creates a topic whose partitions have these replicas.
func assign(t *testing.T, seeds []string, topic string, replicas [][]int32) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(seeds...))
	require.NoError(t, err)
	defer client.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	one := kmsg.NewCreateTopicsRequestTopic()
	one.Topic, one.NumPartitions, one.ReplicationFactor = topic, -1, -1
	for i, r := range replicas {
		one.ReplicaAssignment = append(one.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(i), Replicas: r})
	}
	req.Topics, req.TimeoutMillis = append(req.Topics, one), 10_000
	eventually(t, 30*time.Second, "the topic is made", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		resp, err := req.RequestWith(ctx, client)
		return err == nil && (resp.Topics[0].ErrorCode == 0 || resp.Topics[0].ErrorCode == kerr.TopicAlreadyExists.Code)
	})
}

// awaitReplicas waits until every partition has so many replicas in sync and,
// unless it is -1, a certain leader, as one broker tells.
func awaitReplicas(t *testing.T, address, topic string, inSync int, leader int32) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.MetadataMinAge(20*time.Millisecond))
	require.NoError(t, err)
	defer client.Close()
	admin := kadm.NewClient(client)
	eventually(t, time.Minute, fmt.Sprintf("%d replicas of %s are in sync, the leader is %d", inSync, topic, leader), func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		found, err := admin.ListTopics(ctx, topic)
		if err != nil || found[topic].Err != nil || len(found[topic].Partitions) == 0 {
			return false
		}
		for _, p := range found[topic].Partitions {
			if p.Err != nil || len(p.ISR) != inSync || leader >= 0 && p.Leader != leader {
				return false
			}
		}
		return true
	})
}
