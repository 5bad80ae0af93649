package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/client"
	"gregor/pkg/controller"
	"gregor/pkg/kerr"
	"gregor/pkg/zkstore"
)

// Shutdown stops a started broker in order: leaderships are moved away, then
// the parts stop from the last to the first. It returns the first failure
// that may have cost a clean mark.
func (b *Broker) Shutdown(ctx context.Context) error {
	b.log.Infof("%sshutting down", b.prefix())
	if b.replicas != nil {
		b.replicas.Leave()
	}
	if b.current().Bool("controlled.shutdown.enable") {
		b.controlledShutdown(ctx)
	}
	b.unwind(ctx)
	b.loggers.Logger(appInfoClass).Infof("App info kafka.server for %d unregistered", b.id)
	b.log.Infof("%sshut down completed", b.prefix())
	return b.shutdownErr
}

// controlledShutdown asks the controller to move the leaders of this broker's
// partitions, and asks again while some remain.
func (b *Broker) controlledShutdown(ctx context.Context) {
	c := b.current()
	b.log.Infof("%sStarting controlled shutdown", b.prefix())
	backoff := time.Duration(c.Long("controlled.shutdown.retry.backoff.ms")) * time.Millisecond
	for left := c.Int("controlled.shutdown.max.retries"); left > 0; left-- {
		remaining, err := b.askForShutdown(ctx)
		if err == nil && len(remaining) == 0 {
			b.log.Infof("%sControlled shutdown succeeded", b.prefix())
			return
		}
		if err != nil {
			b.log.Infof("%sError from controller: %s", b.prefix(), err)
		} else {
			b.log.Infof("%sRemaining partitions to move: %v", b.prefix(), remaining)
		}
		if errors.Is(err, errNoController) {
			break // nobody is left to move anything to
		}
		if left > 1 {
			b.log.Warnf("%sRetrying controlled shutdown after the previous attempt failed...", b.prefix())
			if !pause(ctx, backoff) {
				break
			}
		}
	}
	b.log.Warnf("%sProceeding to do an unclean shutdown as all the controlled shutdown attempts failed", b.prefix())
}

// errNoController is the error when /controller is empty or ZooKeeper away.
var errNoController = errors.New("there is no controller")

// askForShutdown sends one ControlledShutdown and returns the partitions that
// this broker still leads.
func (b *Broker) askForShutdown(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, milliseconds(b.current().Int("controller.socket.timeout.ms")))
	defer cancel()
	to, err := b.controllerBroker(ctx)
	if err != nil {
		return nil, err
	}
	listener := b.current().InterBrokerListener()
	endpoint, ok := to.Endpoint(listener)
	if !ok {
		return nil, fmt.Errorf("controller %d has no listener %s", to.ID, listener)
	}
	conn, err := client.Dial(ctx, endpoint, client.Options{ClientID: b.id.String()})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	req := kmsg.NewPtrControlledShutdownRequest()
	req.Version = controller.ControlledShutdownVersion(b.current().InterBrokerProtocol())
	req.BrokerID, req.BrokerEpoch = int32(b.id), b.epoch.Load()
	resp, err := conn.Request(ctx, req)
	if err != nil {
		return nil, err
	}
	answer := resp.(*kmsg.ControlledShutdownResponse)
	if answer.ErrorCode != 0 {
		return nil, kerr.ForCode(answer.ErrorCode)
	}
	var remaining []string
	for _, p := range answer.PartitionsRemaining {
		remaining = append(remaining, fmt.Sprintf("%s-%d", p.Topic, p.Partition))
	}
	return remaining, nil
}

// controllerBroker finds the controller while ZooKeeper answers soon.
func (b *Broker) controllerBroker(ctx context.Context) (zkstore.BrokerInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	id, err := b.store.ControllerID(ctx)
	if err != nil {
		return zkstore.BrokerInfo{}, fmt.Errorf("%w: %w", errNoController, err)
	}
	info, found, err := b.store.Broker(ctx, id)
	if err != nil || !found {
		return zkstore.BrokerInfo{}, errNoController
	}
	return info, nil
}

// pause waits and reports false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
