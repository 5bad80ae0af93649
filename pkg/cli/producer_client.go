package cli

import (
	"context"
	"errors"
	"time"

	franzerr "github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/pkg/kerr"
	"gregor/pkg/logging"
)

// producerClient is a kgo client with the settings of Kafka's producer.
type producerClient struct {
	*kgo.Client
	settings *clientValues
	waiter   *topicWaiter
	maxBlock time.Duration
}

// openProducer makes a producer. Its settings have a client.id; tune, which
// may be nil, gives options that win over those of the settings.
func openProducer(ctx context.Context, loggers *logging.Loggers, servers string, properties map[string]string,
	tune func(*clientValues) []kgo.Opt,
) (*producerClient, error) {
	v, err := parseClientValues(loggers.Logger("org.apache.kafka.clients.producer.ProducerConfig"), producerKeys, properties)
	if err != nil {
		return nil, err
	}
	more, err := producerClientOptions(v)
	if err != nil {
		return nil, err
	}
	network, options, err := commonOptions(ctx, loggers, v, servers, "Producer clientId="+v.texts["client.id"], v.texts["client.id"])
	if err != nil {
		return nil, causedBy(err, kafkaException, "Failed to construct kafka producer")
	}
	options = append(options, more...)
	if tune != nil {
		options = append(options, tune(v)...)
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, causedBy(exceptionf(configException, "%s", err), kafkaException, "Failed to construct kafka producer")
	}
	return &producerClient{Client: client, settings: v, maxBlock: v.ms("max.block.ms"),
		waiter: &topicWaiter{network: network, client: client, autoCreate: true, backoff: max(v.ms("retry.backoff.ms"), time.Millisecond)}}, nil
}

// producerClientOptions turns the producer's settings into kgo's.
func producerClientOptions(v *clientValues) ([]kgo.Opt, error) {
	acks, err := v.oneOf("acks", "all", "-1", "0", "1")
	if err != nil {
		return nil, err
	}
	idempotent, err := v.boolean("enable.idempotence")
	if err != nil {
		return nil, err
	}
	codec, ok := codecs[v.texts["compression.type"]]
	if !ok {
		return nil, causedBy(exceptionf(illegalArgument, "Unknown compression name: %s", v.texts["compression.type"]), kafkaException, "Failed to construct kafka producer")
	}
	partitioner, ok := partitioners[v.texts["partitioner.class"]]
	if !ok {
		return nil, exceptionf(configException, "Invalid value %[1]s for configuration partitioner.class: Class %[1]s could not be found.", v.texts["partitioner.class"])
	}
	transactionalID := v.texts["transactional.id"]
	if transactionalID != "" && v.given["enable.idempotence"] == "" {
		idempotent = true
	}
	switch {
	case transactionalID != "" && !idempotent:
		return nil, exceptionf(configException, "Cannot set a transactional.id without also enabling idempotence.")
	case idempotent && v.given["acks"] != "" && acksOf[acks] != kgo.AllISRAcks():
		return nil, exceptionf(configException, "Must set acks to all in order to use the idempotent producer. Otherwise we cannot guarantee idempotence.")
	}
	retries := v.numbers["retries"]
	options := []kgo.Opt{
		kgo.ProducerBatchCompression(codec),
		kgo.RecordPartitioner(partitioner()),
		kgo.ProducerLinger(v.ms("linger.ms")),
		kgo.ProduceRequestTimeout(max(v.ms("request.timeout.ms"), 100*time.Millisecond)),
		kgo.RecordDeliveryTimeout(max(v.ms("delivery.timeout.ms"), time.Second)),
		kgo.ProducerBatchMaxBytes(int32(max(v.numbers["max.request.size"], 1024))),
		kgo.MaxBufferedBytes(int(max(v.numbers["buffer.memory"], 1024))),
		kgo.MaxBufferedRecords(1 << 30),
	}
	if retries < 1<<31-1 {
		options = append(options, kgo.RecordRetries(int(retries)+1))
	}
	if transactionalID != "" {
		options = append(options, kgo.TransactionalID(transactionalID), kgo.TransactionTimeout(v.ms("transaction.timeout.ms")))
	}
	if idempotent {
		return append(options, kgo.RequiredAcks(kgo.AllISRAcks())), nil
	}
	return append(options, kgo.DisableIdempotentWrite(), kgo.RequiredAcks(acksOf[acks]),
		kgo.MaxProduceRequestsInflightPerBroker(int(v.numbers["max.in.flight.requests.per.connection"]))), nil
}

var acksOf = map[string]kgo.Acks{"all": kgo.AllISRAcks(), "-1": kgo.AllISRAcks(), "0": kgo.NoAck(), "1": kgo.LeaderAck()}

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

const partitionerPackage = "org.apache.kafka.clients.producer."

var partitioners = map[string]func() kgo.Partitioner{
	"": stickyByKey,
	partitionerPackage + "internals.DefaultPartitioner": stickyByKey,
	partitionerPackage + "UniformStickyPartitioner":     kgo.StickyPartitioner,
	partitionerPackage + "RoundRobinPartitioner":        kgo.RoundRobinPartitioner,
}

// stickyByKey is murmur2 of the key, and one partition a batch without key.
func stickyByKey() kgo.Partitioner { return kgo.StickyKeyPartitioner(nil) }

// awaitTopic waits until the topic has metadata, max.block.ms at most.
func (p *producerClient) awaitTopic(ctx context.Context, topic string) error {
	waiting, cancel := context.WithTimeout(ctx, p.maxBlock)
	defer cancel()
	err := p.waiter.await(waiting, topic)
	if errors.Is(err, context.DeadlineExceeded) {
		return kerr.RequestTimedOut.With("Topic %s not present in metadata after %d ms.", topic, p.maxBlock.Milliseconds())
	}
	return err
}

// tooLarge is the error of a record without key and headers that the producer
// refuses because of its size, nil for one that it takes.
func (p *producerClient) tooLarge(value int) error {
	size := recordSizeBound(value)
	for _, name := range []string{"max.request.size", "buffer.memory"} {
		if most := p.settings.numbers[name]; int64(size) > most {
			text := "The message is %d bytes when serialized which is larger than %d, which is the value of the max.request.size configuration."
			if name == "buffer.memory" {
				text = "The message is %d bytes when serialized which is larger than the total memory buffer you have configured with the buffer.memory configuration."
				return kerr.MessageTooLarge.With(text, size)
			}
			return kerr.MessageTooLarge.With(text, size, most)
		}
	}
	return nil
}

// recordSizeBound is how long a batch with one record can get, as Kafka's
// producer reckons: the header of a batch, the fields of a record at their
// longest, no key, a value, no headers.
func recordSizeBound(value int) int {
	const batchHeader, record, noKey, noHeaders = 61, 21, 1, 1
	length := 1
	for v := uint32(value) << 1; v >= 0x80; v >>= 7 {
		length++
	}
	return batchHeader + record + noKey + length + value + noHeaders
}

// producerError gives kgo's errors the text and class of Kafka's producer.
func producerError(r *kgo.Record, err error) error {
	var code *franzerr.Error
	switch {
	case errors.As(err, &code):
		return kerr.ForCode(code.Code)
	case errors.Is(err, kgo.ErrRecordTimeout), errors.Is(err, kgo.ErrRecordRetries), errors.Is(err, context.DeadlineExceeded):
		return kerr.RequestTimedOut.With("Expiring 1 record(s) for %s-%d:%d ms has passed since batch creation", r.Topic, r.Partition, time.Since(r.Timestamp).Milliseconds())
	}
	return kerr.NetworkException.With("%s", err)
}
