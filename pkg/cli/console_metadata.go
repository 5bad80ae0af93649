package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
)

// topicWaiter asks for a topic until it is there, as Kafka's clients do on
// first use, and tells of every answer that says it is not.
type topicWaiter struct {
	network     *networkClient
	client      *kgo.Client
	autoCreate  bool
	backoff     time.Duration
	correlation int // of the next request; a client's first is its ApiVersions
}

// await returns nil once the topic has metadata without an error, a protocol
// error that will not pass, or ctx's error.
func (w *topicWaiter) await(ctx context.Context, topic string) error {
	for {
		w.correlation++
		code, err := w.ask(ctx, topic)
		if err == nil && code == 0 {
			return nil
		}
		if err == nil {
			kind := kerr.ForCode(code)
			w.network.log.Warnf("[%s] Error while fetching metadata with correlation id %d : {%s=%s}", w.network.label, w.correlation, topic, kind.Name)
			if kind == kerr.InvalidTopicException {
				return kind.With("Invalid topics: [%s]", topic)
			}
			if !kind.Retriable {
				return kind
			}
		}
		if err := sleep(ctx, w.backoff); err != nil {
			return err
		}
	}
}

func (w *topicWaiter) ask(ctx context.Context, topic string) (int16, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = w.autoCreate
	row := kmsg.NewMetadataRequestTopic()
	row.Topic = &topic
	req.Topics = append(req.Topics, row)
	resp, err := req.RequestWith(ctx, w.client)
	if err != nil {
		return 0, err
	}
	if len(resp.Topics) != 1 {
		return 0, fmt.Errorf("metadata of %d topics for 1", len(resp.Topics))
	}
	return resp.Topics[0].ErrorCode, nil
}
