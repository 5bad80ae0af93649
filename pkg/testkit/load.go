package testkit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/pkg/lifecycle"
	"gregor/pkg/model"
)

// load is the clients of a history: writers, readers, one that asks for the
// ends of logs, one that commits offsets.
type load struct {
	t          testing.TB
	h          *History
	seeds      []string
	topic      string
	partitions int32
	writing    *lifecycle.Group
	others     *lifecycle.Group
	pace       time.Duration // between two records of a writer
}

// client is a client that finds out quickly when something has changed.
func (l *load) client(options ...kgo.Opt) *kgo.Client {
	l.t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(l.seeds...), kgo.MetadataMinAge(100 * time.Millisecond), kgo.MetadataMaxAge(2 * time.Second),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }),
		kgo.RequestTimeoutOverhead(2 * time.Second), kgo.DialTimeout(time.Second), kgo.UnknownTopicRetries(-1),
		kgo.ConsiderMissingTopicDeletedAfter(10 * time.Minute),
	}, options...)...)
	require.NoError(l.t, err)
	l.t.Cleanup(c.Close)
	return c
}

// write starts a writer with acks=all, which writes to all partitions in a
// random order until the load is stopped; what is under way then is
// finished. An idempotent one's records are there once and in order.
func (l *load) write(writer int, idempotent bool, random *rand.Rand) {
	options := []kgo.Opt{kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProduceRequestTimeout(2 * time.Second),
		kgo.MaxBufferedRecords(200), kgo.ProducerLinger(0)}
	if idempotent {
		l.h.Exact(writer)
	} else {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	c := l.client(options...)
	l.writing.Go(fmt.Sprintf("writer %d", writer), func(ctx context.Context) error {
		for seq := int64(1); ctx.Err() == nil; seq++ {
			id := RecordID{writer, seq}
			record := &kgo.Record{Topic: l.topic, Partition: random.Int32N(l.partitions), Value: id.Payload()}
			c.Produce(context.Background(), record, func(r *kgo.Record, err error) {
				if err == nil {
					l.h.Acked(id, model.TopicPartition{Topic: r.Topic, Partition: r.Partition}, r.Offset)
				}
			})
			wait(ctx, l.pace)
		}
		ending, cancel := context.WithTimeout(context.Background(), healingMax)
		defer cancel()
		if err := c.Flush(ending); err != nil {
			l.h.Problem("writer %d: %d records are neither acknowledged nor refused after %s", writer, c.BufferedProduceRecords(), healingMax)
		}
		return nil
	})
}

// wait waits for a time or the end of ctx.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// read starts a reader of all partitions, from their beginning on.
func (l *load) read(name string, options ...kgo.Opt) {
	from := map[int32]kgo.Offset{}
	for p := range l.partitions {
		from[p] = kgo.NewOffset().At(0)
	}
	c := l.client(append([]kgo.Opt{kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{l.topic: from}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchMaxWait(250 * time.Millisecond)}, options...)...)
	l.others.Go(name, func(ctx context.Context) error {
		for ctx.Err() == nil {
			c.PollFetches(ctx).EachPartition(func(p kgo.FetchTopicPartition) { l.took(c, name, p) })
		}
		return nil
	})
}

// took enters what a reader was given. A leader of the past may tell it that
// there is nothing where it is: then it asks again.
func (l *load) took(c *kgo.Client, name string, p kgo.FetchTopicPartition) {
	tp := model.TopicPartition{Topic: p.Topic, Partition: p.Partition}
	for _, r := range p.Records {
		l.h.Read(name, tp, r.Offset, r.Value)
	}
	var lost *kgo.ErrDataLoss
	if errors.As(p.Err, &lost) || errors.Is(p.Err, kerr.OffsetOutOfRange) {
		next := kgo.NewOffset().At(l.h.Position(name, tp) + 1)
		c.RemoveConsumePartitions(map[string][]int32{p.Topic: {p.Partition}})
		c.AddConsumePartitions(map[string]map[int32]kgo.Offset{p.Topic: {p.Partition: next}})
	}
}

// watchEnds asks for the ends of the partitions again and again.
func (l *load) watchEnds(name string) {
	admin := kadm.NewClient(l.client(kgo.RequestRetries(0)))
	l.others.Go(name, func(ctx context.Context) error {
		for ; ctx.Err() == nil; wait(ctx, 20*time.Millisecond) {
			asking, cancel := context.WithTimeout(ctx, 3*time.Second)
			ends, _ := admin.ListEndOffsets(asking, l.topic) // who does not answer is passed over
			cancel()
			ends.Each(func(o kadm.ListedOffset) {
				if o.Err == nil && o.Offset >= 0 {
					l.h.End(name, model.TopicPartition{Topic: o.Topic, Partition: o.Partition}, model.LeaderEpoch(o.LeaderEpoch), o.Offset)
				}
			})
		}
		return nil
	})
}

// commit commits rising offsets of a group without members.
func (l *load) commit(group string) {
	admin := kadm.NewClient(l.client(kgo.RequestRetries(0)))
	tp := model.TopicPartition{Topic: l.topic}
	l.others.Go(group, func(ctx context.Context) error {
		for offset := int64(1); ctx.Err() == nil; offset++ {
			var offsets kadm.Offsets
			offsets.AddOffset(tp.Topic, tp.Partition, offset, -1)
			l.h.Committing(group, tp, offset)
			asking, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			answer, err := admin.CommitOffsets(asking, group, offsets)
			cancel()
			if one, found := answer.Lookup(tp.Topic, tp.Partition); err == nil && found && one.Err == nil {
				l.h.Committed(group, tp, offset)
			}
			wait(ctx, 20*time.Millisecond)
		}
		return nil
	})
}

// finish stops the writers, lets them finish what is under way, and the
// others.
func (l *load) finish() {
	l.writing.Close() //nolint:errcheck // they return none
	l.others.Close()  //nolint:errcheck // they return none
}

// readAll reads the partitions from their beginning to their end.
func (l *load) readAll(admin *kadm.Client) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ends, err := admin.ListEndOffsets(ctx, l.topic)
	require.NoError(l.t, err)
	require.NoError(l.t, ends.Error())
	values := make([][]FinalRecord, l.partitions)
	from, left := map[int32]kgo.Offset{}, 0
	for p := range l.partitions {
		end, found := ends.Lookup(l.topic, p)
		require.True(l.t, found)
		left += int(end.Offset)
		from[p] = kgo.NewOffset().At(0)
	}
	c := l.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{l.topic: from}), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	for left > 0 && ctx.Err() == nil {
		c.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if int(r.Offset) != len(values[r.Partition]) {
				l.h.Problem("the last reading of %s-%d: offset %d behind %d records", r.Topic, r.Partition, r.Offset, len(values[r.Partition]))
			}
			values[r.Partition] = append(values[r.Partition], FinalRecord{r.Value, r.ProducerID, r.ProducerEpoch})
			left--
		})
	}
	require.LessOrEqual(l.t, left, 0, "the last reading does not come to the end")
	for p := range l.partitions {
		l.h.Final(model.TopicPartition{Topic: l.topic, Partition: p}, values[p])
	}
}

// readOffsets compares the committed offsets with what was acknowledged.
func (l *load) readOffsets(admin *kadm.Client, group string) {
	l.t.Helper()
	Eventually(l.t, "the offsets of "+group+" are told", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		offsets, err := admin.FetchOffsets(ctx, group)
		if err != nil {
			return false
		}
		one, found := offsets.Lookup(l.topic, 0)
		if found && one.Err != nil {
			return false
		}
		at := int64(0) // what is below every offset that was committed
		if found {
			at = one.At
		}
		l.h.Offset(group, model.TopicPartition{Topic: l.topic}, at)
		return true
	})
}
