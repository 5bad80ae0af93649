package replica

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/client"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// peer is a connection to another broker; client.Conn is one.
type peer interface {
	Request(ctx context.Context, req kmsg.Request) (kmsg.Response, error)
	Close() error
}

// connect opens a connection to a listener of a broker, where the metadata say
// that it is now.
func (m *Manager) connect(ctx context.Context, to model.BrokerID, listener, clientID string) (peer, error) {
	broker, alive := m.options.Metadata.Snapshot().Broker(to)
	if !alive {
		return nil, fmt.Errorf("broker %d is not alive", to)
	}
	endpoint, ok := broker.Endpoint(listener)
	if !ok {
		return nil, fmt.Errorf("broker %d has no listener %s", to, listener)
	}
	return client.Dial(ctx, endpoint, client.Options{ClientID: clientID,
		RequestTimeout: m.options.Fetching.SocketTimeout, MaxResponseBytes: m.options.Fetching.FrameMaxBytes,
		ReceiveBufferBytes: m.options.Fetching.ReceiveBuffer, Dial: m.options.Dial})
}

// controllerISR writes changes with AlterIsr (KIP-497, key 56 version 0),
// which exists since 2.7-IV2. It is used by one goroutine.
type controllerISR struct {
	manager *Manager
	to      model.BrokerID
	conn    peer // nil when there is none
}

var errNoController = errors.New("the controller is not known")

func (w *controllerISR) write(ctx context.Context, changes []*isrChange) ([]isrOutcome, error) {
	resp, err := w.send(ctx, w.request(changes))
	if err != nil {
		w.hangUp()
		return nil, err
	}
	if err := kerr.ForCode(resp.ErrorCode); err != nil {
		if errors.Is(err, kerr.NotController) {
			w.hangUp()
		}
		return nil, fmt.Errorf("AlterIsr: %w", err)
	}
	return outcomesOf(changes, resp), nil
}

// send finds the controller and asks it.
func (w *controllerISR) send(ctx context.Context, req *kmsg.AlterPartitionRequest) (*kmsg.AlterPartitionResponse, error) {
	controller := w.manager.options.Metadata.Snapshot().ControllerID()
	if controller < 0 {
		return nil, errNoController
	}
	if w.conn == nil || w.to != controller {
		w.hangUp()
		conn, err := w.manager.dial(ctx, controller, w.manager.options.ControllerListener, w.manager.options.BrokerID.String())
		if err != nil {
			return nil, err
		}
		w.conn, w.to = conn, controller
	}
	resp, err := w.conn.Request(ctx, req)
	if err != nil {
		return nil, err
	}
	return resp.(*kmsg.AlterPartitionResponse), nil
}

func (w *controllerISR) hangUp() {
	if w.conn != nil {
		w.conn.Close() //nolint:errcheck // nothing is lost with it
		w.conn = nil
	}
}

func (w *controllerISR) request(changes []*isrChange) *kmsg.AlterPartitionRequest {
	req := kmsg.NewPtrAlterPartitionRequest()
	req.BrokerID, req.BrokerEpoch = int32(w.manager.options.BrokerID), int64(w.manager.options.BrokerEpoch())
	for _, c := range changes {
		tp := c.partition.TopicPartition
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != tp.Topic {
			topic := kmsg.NewAlterPartitionRequestTopic()
			topic.Topic = tp.Topic
			req.Topics = append(req.Topics, topic)
		}
		p := kmsg.NewAlterPartitionRequestTopicPartition()
		p.Partition, p.LeaderEpoch, p.PartitionEpoch = tp.Partition, int32(c.leaderEpoch), int32(c.partitionEpoch)
		p.NewISR = rawIDs(c.isr)
		t := &req.Topics[len(req.Topics)-1]
		t.Partitions = append(t.Partitions, p)
	}
	return req
}

// outcomesOf finds the outcome of each change. One that the controller left
// out is proposed again.
func outcomesOf(changes []*isrChange, resp *kmsg.AlterPartitionResponse) []isrOutcome {
	byPartition := map[model.TopicPartition]isrOutcome{}
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			byPartition[model.TopicPartition{Topic: t.Topic, Partition: p.Partition}] = isrOutcome{
				err: kerr.ForCode(p.ErrorCode), leaderEpoch: model.LeaderEpoch(p.LeaderEpoch),
				isr: brokerIDs(p.ISR), partitionEpoch: model.PartitionEpoch(p.PartitionEpoch),
			}
		}
	}
	outcomes := make([]isrOutcome, len(changes))
	for i, c := range changes {
		o, found := byPartition[c.partition.TopicPartition]
		if !found {
			o.err = kerr.UnknownServerError
		}
		outcomes[i] = o
	}
	return outcomes
}

func rawIDs(ids []model.BrokerID) []int32 {
	list := make([]int32, len(ids))
	for i, id := range ids {
		list[i] = int32(id)
	}
	return list
}
