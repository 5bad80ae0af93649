package replica_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/pkg/testkit"
)

// BenchmarkAcksOfAll is one record after the other through three brokers, also
// while they keep many partitions that nobody writes to.
func BenchmarkAcksOfAll(b *testing.B) {
	for name, others := range map[string]int32{"alone": 0, "beside a thousand": 1000} {
		b.Run(name, func(b *testing.B) {
			c := testkit.StartCluster(b, 3, map[string]string{"zookeeper.session.timeout.ms": "2000"})
			c.AwaitBrokers()
			c.Create("t", 3, "min.insync.replicas", "2")
			if others > 0 {
				c.Create("others", others)
				c.AwaitISR("others", others-1, 3)
			}
			for i := range int32(3) {
				c.AwaitISR("t", i, 3)
			}
			writer := c.Client(kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()),
				kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
			record := &kgo.Record{Topic: "t", Value: make([]byte, 100)}
			for b.Loop() {
				require.NoError(b, writer.ProduceSync(b.Context(), record).FirstErr())
			}
		})
	}
}
