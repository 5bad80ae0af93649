package broker

import (
	"context"
	"errors"
	"time"

	"gregor/pkg/config"
	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

// registrationPause separates attempts to register again in a new session.
const registrationPause = time.Second

// register makes the broker visible, and keeps it so over sessions: the
// handler that is entered here runs before the controller's, so that in a new
// session the broker is registered before it takes part in an election.
func (b *Broker) register(ctx context.Context) error {
	if err := b.checkAdvertised(ctx); err != nil {
		return err
	}
	epoch, err := b.store.RegisterBroker(ctx, b.registration())
	if err != nil {
		return err
	}
	b.epoch.Store(int64(epoch))
	cancel := b.store.OnSession(zkstore.SessionHandler{AfterNewSession: b.registerAgain})
	b.onStop(func(context.Context) { cancel() })
	return nil
}

// registration is what the broker publishes about itself.
func (b *Broker) registration() zkstore.BrokerInfo {
	c := b.current()
	info := zkstore.BrokerInfo{
		Broker:  model.Broker{ID: b.id, Rack: c.StringOrNil("broker.rack"), Endpoints: b.advertised()},
		JMXPort: -1, // nothing listens there
	}
	switch v := c.InterBrokerProtocol(); {
	case v >= config.IBP_2_7_IV0:
		info.Version = 5
	case v >= config.IBP_0_10_0_IV1:
		info.Version = 4
	default:
		info.Version = 2
	}
	return info
}

// registerAgain runs when a session was lost and a new one stands. Reads went
// on meanwhile; the new epoch fences what was sent to the old registration.
func (b *Broker) registerAgain() {
	ctx := b.group.Context()
	for {
		epoch, err := b.store.RegisterBroker(ctx, b.registration())
		if err == nil {
			b.epoch.Store(int64(epoch))
			return
		}
		b.log.WithError(err).Errorf("%sthe broker could not be registered again after its ZooKeeper session was lost", b.prefix())
		select {
		case <-ctx.Done():
			return
		case <-time.After(registrationPause):
		}
		if !b.store.Connected() {
			return // the next session brings its own call
		}
	}
}

// checkAdvertised refuses endpoints that another broker has published.
func (b *Broker) checkAdvertised(ctx context.Context) error {
	brokers, err := b.store.Brokers(ctx)
	if errors.Is(err, zkstore.ErrBadData) {
		b.log.Warnf("%sPassing over registrations that cannot be understood: %v", b.prefix(), err)
	} else if err != nil {
		return err
	}
	for _, other := range brokers {
		if other.ID == b.id {
			continue
		}
		for _, theirs := range other.Endpoints {
			for _, ours := range b.advertised() {
				if ours.Host == theirs.Host && ours.Port == theirs.Port {
					return &fatalError{class: "java.lang.IllegalArgumentException",
						text: "requirement failed: Configured end points " + ours.Address() + " in advertised listeners are already registered by broker " + other.ID.String()}
				}
			}
		}
	}
	return nil
}

// fatalError is an error with the Java class that Kafka's log shows for it.
type fatalError struct{ class, text string }

func (e *fatalError) Error() string     { return e.text }
func (e *fatalError) JavaClass() string { return e.class }
