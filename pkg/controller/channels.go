package controller

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/client"
	"gregor/pkg/lifecycle"
	"gregor/pkg/model"
)

// retryPause is the pause after a request that could not be delivered.
const retryPause = 100 * time.Millisecond

// repeatEvery is how often a broker that stays out of reach is mentioned.
const repeatEvery = 10 * time.Second

// channels is the Sender over the network: one goroutine, one connection and
// one queue for each broker, this one included. A queue has no bound: it
// holds what the broker missed since it stopped answering, and goes when the
// broker's registration goes.
type channels struct {
	opts  Options
	log   *lines
	state line
	epoch model.ControllerEpoch

	// mu guards byID and is held for no call out. Add, Remove and Close come
	// from one goroutine.
	mu   sync.Mutex
	byID map[model.BrokerID]*channel
}

func newChannels(opts Options, log *lines, epoch model.ControllerEpoch) *channels {
	return &channels{opts: opts, log: log, state: log.stateChange(epoch), epoch: epoch, byID: map[model.BrokerID]*channel{}}
}

// channel is the way to one broker.
type channel struct {
	owner  *channels
	broker model.Broker
	thread line
	group  *lifecycle.Group
	wake   chan struct{}

	mu    sync.Mutex // guards queue
	queue []outgoing
}

type outgoing struct {
	req      kmsg.Request
	answered func(kmsg.Response)
}

// Add starts the channel to a broker.
func (c *channels) Add(b model.Broker) {
	c.log.channels.Debugf("Controller %d trying to connect to broker %d", c.opts.ID, b.ID)
	ch := &channel{owner: c, broker: b, group: lifecycle.NewGroup(context.Background()), wake: make(chan struct{}, 1),
		thread: line{c.log.loggers.Logger("kafka.controller.RequestSendThread"), fmt.Sprintf("[RequestSendThread controllerId=%d] ", c.opts.ID)}}
	c.mu.Lock()
	c.byID[b.ID] = ch
	c.mu.Unlock()
	ch.group.Go(fmt.Sprintf("controller-to-broker-%d", b.ID), ch.run)
}

// Remove ends the channel to a broker; what is queued is dropped.
func (c *channels) Remove(id model.BrokerID) {
	c.mu.Lock()
	ch := c.byID[id]
	delete(c.byID, id)
	c.mu.Unlock()
	if ch != nil {
		ch.close()
	}
}

// Close ends all channels.
func (c *channels) Close() {
	c.mu.Lock()
	all := c.byID
	c.byID = map[model.BrokerID]*channel{}
	c.mu.Unlock()
	for _, ch := range all {
		ch.group.Cancel()
	}
	for _, ch := range all {
		ch.close()
	}
}

// Send queues a request; one to a broker without channel is dropped.
func (c *channels) Send(to model.BrokerID, req kmsg.Request, answered func(kmsg.Response)) {
	c.mu.Lock()
	ch := c.byID[to]
	c.mu.Unlock()
	if ch == nil {
		c.log.channels.Warnf("Not sending request %s to broker %d, since it is offline.", requestName(req), to)
		return
	}
	ch.mu.Lock()
	ch.queue = append(ch.queue, outgoing{req, answered})
	ch.mu.Unlock()
	select {
	case ch.wake <- struct{}{}:
	default:
	}
}

func (ch *channel) close() {
	ch.thread.Infof("Shutting down")
	ch.group.Close() //nolint:errcheck // run returns none
	ch.thread.Infof("Shutdown completed")
}

func (ch *channel) next(ctx context.Context) (outgoing, bool) {
	for {
		ch.mu.Lock()
		if len(ch.queue) > 0 {
			o := ch.queue[0]
			ch.queue = ch.queue[1:]
			ch.mu.Unlock()
			return o, true
		}
		ch.mu.Unlock()
		select {
		case <-ctx.Done():
			return outgoing{}, false
		case <-ch.wake:
		}
	}
}

// run delivers the queue, each request until it is answered.
func (ch *channel) run(ctx context.Context) error {
	ch.thread.Infof("Starting")
	defer ch.thread.Infof("Stopped")
	var conn *client.Conn
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	for {
		o, ok := ch.next(ctx)
		if !ok {
			return nil
		}
		var faults faults
		for {
			resp, what, err := ch.deliver(ctx, &conn, o.req)
			if err == nil {
				ch.answered(conn.LastCorrelationID(), o, resp)
				break
			}
			if ctx.Err() != nil {
				return nil
			}
			if faults.mention(time.Now()) {
				ch.thread.Trouble(err, "%s", what)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(retryPause):
			}
		}
	}
}

// faults counts what goes wrong with one request, so that it is not logged
// every time.
type faults struct{ mentioned time.Time }

func (f *faults) mention(now time.Time) bool {
	if now.Sub(f.mentioned) < repeatEvery {
		return false
	}
	f.mentioned = now
	return true
}

// deliver makes one attempt, over a new connection if there is none. When it
// fails, what says in Kafka's words what failed.
func (ch *channel) deliver(ctx context.Context, conn **client.Conn, req kmsg.Request) (resp kmsg.Response, what string, err error) {
	if *conn == nil {
		next, err := ch.dial(ctx)
		if err != nil {
			return nil, fmt.Sprintf("Controller %d's connection to broker %s was unsuccessful", ch.owner.opts.ID, ch.node()), err
		}
		*conn = next
		ch.thread.Infof("Controller %d connected to %s for sending state change requests", ch.owner.opts.ID, ch.node())
	}
	if resp, err = (*conn).Request(ctx, req); err != nil {
		(*conn).Close()
		*conn = nil
		return nil, fmt.Sprintf("Controller %d epoch %d fails to send request %s to broker %s. Reconnecting to broker.",
			ch.owner.opts.ID, ch.owner.epoch, requestName(req), ch.node()), err
	}
	return resp, "", nil
}

func (ch *channel) dial(ctx context.Context) (*client.Conn, error) {
	endpoint, ok := ch.broker.Endpoint(ch.owner.opts.ControlPlaneListener)
	if !ok {
		return nil, fmt.Errorf("broker %d has no listener %s", ch.broker.ID, ch.owner.opts.ControlPlaneListener)
	}
	return client.Dial(ctx, endpoint, client.Options{ClientID: ch.owner.opts.ID.String(),
		RequestTimeout: ch.owner.opts.SocketTimeout, Dial: ch.owner.opts.Dial})
}

func (ch *channel) answered(correlationID int32, o outgoing, resp kmsg.Response) {
	if ch.owner.state.on(logrus.TraceLevel) {
		ch.owner.state.Tracef("Received response %s for request %s with correlation id %d sent to broker %s",
			describeResponse(resp), requestName(o.req), correlationID, ch.node())
	}
	if o.answered != nil {
		o.answered(resp)
	}
}

// node is Kafka's form of a broker in log lines.
func (ch *channel) node() string {
	e, _ := ch.broker.Endpoint(ch.owner.opts.ControlPlaneListener)
	rack := "null"
	if ch.broker.Rack != nil {
		rack = *ch.broker.Rack
	}
	return fmt.Sprintf("%s (id: %d rack: %s)", e.Address(), ch.broker.ID, rack)
}

func requestName(req kmsg.Request) string {
	switch req.(type) {
	case *kmsg.LeaderAndISRRequest:
		return "LEADER_AND_ISR"
	case *kmsg.UpdateMetadataRequest:
		return "UPDATE_METADATA"
	case *kmsg.StopReplicaRequest:
		return "STOP_REPLICA"
	}
	return strings.ToUpper(kmsg.NameForKey(req.Key()))
}

// describeResponse is Kafka's form of a response, with the partitions that
// have an error.
func describeResponse(resp kmsg.Response) string {
	var failed []string
	note := func(topic string, partition int32, code int16) {
		if code != 0 {
			failed = append(failed, fmt.Sprintf("%s-%d: %s", topic, partition, codeName(code)))
		}
	}
	switch r := resp.(type) {
	case *kmsg.UpdateMetadataResponse:
		return fmt.Sprintf("UpdateMetadataResponseData(errorCode=%d)", r.ErrorCode)
	case *kmsg.LeaderAndISRResponse:
		for _, p := range r.Partitions {
			note(p.Topic, p.Partition, p.ErrorCode)
		}
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				note(model.TopicID(t.TopicID).String(), p.Partition, p.ErrorCode)
			}
		}
		return fmt.Sprintf("LeaderAndIsrResponseData(errorCode=%d, partitionErrors=[%s])", r.ErrorCode, strings.Join(failed, ", "))
	case *kmsg.StopReplicaResponse:
		for _, p := range r.Partitions {
			note(p.Topic, p.Partition, p.ErrorCode)
		}
		return fmt.Sprintf("StopReplicaResponseData(errorCode=%d, partitionErrors=[%s])", r.ErrorCode, strings.Join(failed, ", "))
	}
	return fmt.Sprintf("%T", resp)
}
