package broker

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"gregor/pkg/group"
)

// The lines here explain what Kafka's own lines leave people to find out.

// explainClusterMismatch says what the two clusters are and what can be done:
// one of the two data directories, ZooKeeper's or the broker's, was wiped or
// exchanged.
func (b *Broker) explainClusterMismatch(dirs []string, stored string) {
	for _, dir := range dirs {
		path := filepath.Join(dir, "meta.properties")
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		b.log.Errorf("%s, written %s, belongs to cluster %s; ZooKeeper at %s holds cluster %s. "+
			"Either set zookeeper.connect to the ZooKeeper of cluster %s, or, if the records may go, remove everything in %s and start again.",
			path, info.ModTime().Format(time.DateTime), stored, b.static.String("zookeeper.connect"), b.clusterID, stored, dir)
	}
}

// brokersExpectedWithin is how long brokers that are started together may take
// to find each other before a setting that needs more of them is mentioned.
const brokersExpectedWithin = 30 * time.Second

// watchOffsetsReplication warns once when the offsets topic, without which no
// consumer group works, cannot be created with the brokers that are there.
func (b *Broker) watchOffsetsReplication() {
	b.group.Go("offsets-replication-check", func(ctx context.Context) error {
		if pause(ctx, brokersExpectedWithin) {
			b.warnOfOffsetsReplication()
		}
		return nil
	})
}

func (b *Broker) warnOfOffsetsReplication() {
	const key = "offsets.topic.replication.factor"
	want := int(b.current().Short(key))
	snapshot := b.metadata.Snapshot()
	if _, exists := snapshot.Topic(group.Topic); exists || len(snapshot.Brokers()) >= want {
		return
	}
	b.log.Warnf("%s%s=%d needs %d brokers and %d are registered: consumer groups will not work until there are more, or the setting is %d",
		b.prefix(), key, want, want, len(snapshot.Brokers()), len(snapshot.Brokers()))
}
