package controller

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"gregor/pkg/client"
	"gregor/pkg/kerr"
	"gregor/pkg/lifecycle"
	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

// Options say what a controller goes by.
type Options struct {
	ID                  model.BrokerID
	InterBrokerListener string
	// ControlPlaneListener is where brokers are reached; InterBrokerListener
	// when empty.
	ControlPlaneListener string
	Versions             Versions
	DeleteTopicEnable    bool // delete.topic.enable

	AutoLeaderRebalance    bool          // auto.leader.rebalance.enable
	ImbalanceCheckInterval time.Duration // leader.imbalance.check.interval.seconds
	ImbalancePercentage    int           // leader.imbalance.per.broker.percentage

	// UncleanLeaderElection is unclean.leader.election.enable as it is now.
	UncleanLeaderElection func() bool

	SocketTimeout time.Duration // controller.socket.timeout.ms
	Dial          client.Dialer // for inter-broker listeners that are not PLAINTEXT
	Loggers       *logging.Loggers
}

func (o Options) withDefaults() Options {
	if o.UncleanLeaderElection == nil {
		o.UncleanLeaderElection = func() bool { return false }
	}
	if o.ControlPlaneListener == "" {
		o.ControlPlaneListener = o.InterBrokerListener
	}
	if o.ImbalanceCheckInterval <= 0 {
		o.ImbalanceCheckInterval = 300 * time.Second
	}
	if o.SocketTimeout <= 0 {
		o.SocketTimeout = 30 * time.Second
	}
	if o.Loggers == nil {
		o.Loggers = logging.Discard()
	}
	return o
}

const (
	// firstRebalance is when leaders are first looked at after an election.
	firstRebalance = 5 * time.Second
	// obstacleInterval is how often a deletion that is stuck is explained.
	obstacleInterval = time.Minute
	// electionPause is the pause after a failover of this broker that failed.
	electionPause = time.Second
)

// Controller takes part in the election and, while elected, runs the cluster.
// Safe for concurrent use.
type Controller struct {
	opts   Options
	zk     *zkstore.Store
	log    *lines
	group  *lifecycle.Group
	queue  *queue
	cancel []func() // watch of /controller, session handler

	active atomic.Int32 // the epoch while this broker is the controller, else 0
	known  atomic.Int32 // id of the controller, -1 for none

	// What follows belongs to the event loop.
	tenure  *tenure
	retryAt time.Time
}

// tenure is one time of being the controller.
type tenure struct {
	*machine
	fence   zkstore.Fence
	watches map[string]func() // what to cancel, by znode
	timers  []*time.Timer
}

// New returns a controller that does nothing yet.
func New(zk *zkstore.Store, opts Options) *Controller {
	opts = opts.withDefaults()
	c := &Controller{opts: opts, zk: zk, log: newLines(opts.Loggers, opts.ID),
		group: lifecycle.NewGroup(context.Background()), queue: newQueue()}
	c.known.Store(int32(model.NoBroker))
	return c
}

// Start begins to take part in elections. The broker is registered before,
// and its session handler stands before the controller's, so that in a new
// session it is registered again first.
func (c *Controller) Start() {
	c.group.Go("controller-event-thread", c.loop)
	c.cancel = append(c.cancel, c.zk.OnSession(zkstore.SessionHandler{BeforeNewSession: c.expire, AfterNewSession: c.reelect}))
	c.cancel = append(c.cancel, c.zk.WatchNode(zkstore.ControllerPath, c.reelect))
}

// Shutdown stops taking part. An active controller resigns in memory; its
// znode goes with the session.
func (c *Controller) Shutdown() {
	for _, cancel := range c.cancel {
		cancel()
	}
	c.log.events.Infof("Shutting down")
	c.queue.close()
	c.group.Close() //nolint:errcheck // the loop returns none
	c.log.events.Infof("Shutdown completed")
	c.resign() // the loop has ended: its fields are this goroutine's now
}

// IsActive reports whether this broker is the controller.
func (c *Controller) IsActive() bool { return c.active.Load() != 0 }

// Epoch is the epoch of this broker as the controller, 0 when it is not.
func (c *Controller) Epoch() model.ControllerEpoch { return model.ControllerEpoch(c.active.Load()) }

// ControllerID is the controller as /controller last had it.
func (c *Controller) ControllerID() model.BrokerID { return model.BrokerID(c.known.Load()) }

// ask runs f on the event loop, with the machine of the active controller. It
// fails with NotController when there is none.
func (c *Controller) ask(ctx context.Context, name string, f func(m *machine) error) error {
	done := make(chan error, 1)
	c.queue.put(event{name: name, dropped: func() { done <- kerr.NotController }, run: func() error {
		if c.tenure == nil {
			done <- kerr.NotController
			return nil
		}
		err := f(c.tenure.machine)
		done <- err
		if errors.Is(err, zkstore.ErrControllerMoved) {
			return err
		}
		return nil
	}})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ControlledShutdown moves everything away from a broker that is about to
// stop, and returns the partitions that it still leads although they have
// other replicas. Errors: STALE_BROKER_EPOCH, BROKER_NOT_AVAILABLE,
// STALE_CONTROLLER_EPOCH when this broker is not the controller.
func (c *Controller) ControlledShutdown(ctx context.Context, id model.BrokerID, epoch model.BrokerEpoch) ([]model.TopicPartition, error) {
	var remaining []model.TopicPartition
	err := c.ask(ctx, "ControlledShutdown", func(m *machine) error {
		known, ok := m.c.brokers[id]
		switch {
		case ok && epoch != model.NoBrokerEpoch && epoch < known.Epoch:
			err := kerr.StaleBrokerEpoch.With("Received controlled shutdown request from an old broker epoch %d for broker %d. Current broker epoch is %d.", epoch, id, known.Epoch)
			m.log.controller.Infof("%v", err)
			return err
		case !ok:
			return kerr.BrokerNotAvailable.With("Broker id %d does not exist.", id)
		}
		m.log.controller.Infof("Shutting down broker %d", id)
		var err error
		remaining, err = m.brokerLeaves(id)
		return err
	})
	if errors.Is(err, kerr.NotController) {
		err = kerr.StaleControllerEpoch.With("Controller moved to another broker. Aborting controlled shutdown.")
	}
	return remaining, err
}

// IsQueuedForDeletion reports whether a topic is on its way out.
func (c *Controller) IsQueuedForDeletion(ctx context.Context, topic string) (queued bool, err error) {
	err = c.ask(ctx, "TopicQueuedForDeletion", func(m *machine) error {
		queued = m.c.toDelete[topic]
		return nil
	})
	return queued, err
}

// TopicName finds a topic by its id.
func (c *Controller) TopicName(ctx context.Context, id model.TopicID) (name string, found bool, err error) {
	err = c.ask(ctx, "TopicName", func(m *machine) error {
		name, found = m.c.names[id]
		return nil
	})
	return name, found, err
}

// UncleanElectionEnabled tells that a replica outside the ISR may lead from
// now on: partitions of the topic, or of all topics for "", that have no
// leader are tried again.
func (c *Controller) UncleanElectionEnabled(topic string) {
	c.queue.put(event{name: "TopicUncleanLeaderElectionEnable", run: func() error {
		if c.tenure == nil {
			return nil
		}
		if topic == "" {
			c.log.controller.Infof("Unclean leader election has been enabled by default")
		} else {
			c.log.controller.Infof("Unclean leader election has been enabled for topic %s", topic)
		}
		return c.tenure.tryOnline()
	}})
}

// loop runs events until Shutdown.
func (c *Controller) loop(ctx context.Context) error {
	c.log.events.Infof("Starting")
	defer c.log.events.Infof("Stopped")
	for {
		e, ok := c.queue.next(ctx)
		if !ok {
			return nil
		}
		err := e.run()
		switch {
		case err == nil, ctx.Err() != nil:
		case errors.Is(err, zkstore.ErrControllerMoved):
			c.log.controller.Infof("Controller moved to another broker when processing %s.", e.name)
			c.resign()
			c.reelect()
		default:
			c.log.events.Failure(err, "Error processing event %s", e.name)
		}
	}
}

// reelect looks at /controller soon.
func (c *Controller) reelect() { c.queue.putOnce(event{name: "Reelect", run: c.look}) }

// look reads who the controller is. Who is not that any more resigns; when
// there is none, this broker runs for it.
func (c *Controller) look() error {
	id, err := c.zk.ControllerID(c.group.Context())
	if err != nil {
		return err
	}
	c.known.Store(int32(id))
	if c.tenure != nil {
		if id == c.opts.ID {
			return nil
		}
		c.resign()
	}
	if id == c.opts.ID {
		return c.dropStaleNode()
	}
	if id != model.NoBroker {
		c.log.controller.Debugf("Broker %d has been elected as the controller, so stopping the election process.", id)
		return nil
	}
	if wait := time.Until(c.retryAt); wait > 0 {
		time.AfterFunc(wait, c.reelect)
		return nil
	}
	return c.elect()
}

// dropStaleNode removes a /controller node that names this broker although it
// is not the controller: giving it back failed before, or a former process of
// this broker left it. Until it goes nobody can be elected.
func (c *Controller) dropStaleNode() error {
	_, fence, found, err := c.zk.ControllerEpoch(c.group.Context())
	if err != nil || !found {
		return err
	}
	c.log.controller.Infof("Removing a stale %s node of broker %d", zkstore.ControllerPath, c.opts.ID)
	err = c.zk.ResignController(c.group.Context(), fence)
	if errors.Is(err, zkstore.ErrControllerMoved) {
		c.reelect()
		return nil
	}
	return err
}

// elect runs for controller and, when elected, fails over. If that fails the
// znode is given back, so that another broker can try.
func (c *Controller) elect() error {
	ctx := c.group.Context()
	epoch, fence, err := c.zk.RegisterController(ctx, c.opts.ID)
	switch {
	case errors.Is(err, zkstore.ErrControllerMoved):
		c.reelect()
		return nil
	case err != nil:
		return err
	}
	c.known.Store(int32(c.opts.ID))
	c.active.Store(int32(epoch))
	c.log.controller.Infof("%d successfully elected as the controller. Epoch incremented to %d and epoch zk version is now %d", c.opts.ID, epoch, fence)
	if err = c.takeOver(epoch, fence); err == nil || ctx.Err() != nil {
		return nil
	}
	c.resign()
	if errors.Is(err, zkstore.ErrControllerMoved) || errors.Is(err, zkstore.ErrSessionExpired) {
		c.reelect()
		return nil
	}
	c.log.controller.Failure(err, "Error while electing or becoming controller on broker %d. Trigger controller movement immediately", c.opts.ID)
	c.retryAt = time.Now().Add(electionPause)
	if err := c.zk.ResignController(ctx, fence); err != nil && !errors.Is(err, zkstore.ErrControllerMoved) {
		return err
	}
	c.reelect()
	return nil
}

// takeOver is what comes between the election and the work.
func (c *Controller) takeOver(epoch model.ControllerEpoch, fence zkstore.Fence) error {
	t := c.newTenure(epoch, fence)
	c.tenure = t
	created, err := t.store.EnsureFeature(c.opts.Versions.Features)
	if err != nil {
		return err
	}
	if created {
		status := "Disabled"
		if c.opts.Versions.Features {
			status = "Enabled"
		}
		c.log.controller.Infof("Creating FeatureZNode at path: %s with contents: FeatureZNode(%s,Features{})", zkstore.FeaturePath, status)
	}
	c.log.controller.Infof("Registering handlers")
	c.follow(t)
	if err := t.failover(); err != nil {
		return err
	}
	c.log.controller.Infof("Starting the controller scheduler")
	if c.opts.AutoLeaderRebalance {
		c.every(t, "AutoPreferredReplicaLeaderElection", firstRebalance, c.opts.ImbalanceCheckInterval, t.rebalanceLeaders)
	}
	c.every(t, "TopicDeletionObstacles", obstacleInterval, obstacleInterval, func() error {
		for _, text := range t.deletionObstacles() {
			c.log.deletion.Warnf("%s", text)
		}
		return nil
	})
	return nil
}

func (c *Controller) newTenure(epoch model.ControllerEpoch, fence zkstore.Fence) *tenure {
	t := &tenure{fence: fence, watches: map[string]func(){}}
	cluster := newCluster()
	cluster.epoch = epoch
	t.machine = &machine{
		settings: settings{ID: c.opts.ID, InterBrokerListener: c.opts.InterBrokerListener, Versions: c.opts.Versions,
			DeleteTopicEnable: c.opts.DeleteTopicEnable, ImbalancePercentage: c.opts.ImbalancePercentage},
		store:  &zkStore{ctx: c.group.Context(), zk: c.zk, fence: fence, unclean: c.opts.UncleanLeaderElection, log: c.log.controller},
		sender: newChannels(c.opts, c.log, epoch),
		log:    c.log,
		state:  c.log.stateChange(epoch),
		c:      cluster,
		post:   func(name string, run func() error) { c.queue.put(c.during(t, name, run)) },
		watchTopic: func(name string) {
			c.watch(t, zkstore.TopicPath(name), "PartitionModifications "+name, func() error { return t.topicDataChanged(name) })
		},
		unwatchTopic: func(name string) { t.unwatch(zkstore.TopicPath(name)) },
		watchBroker: func(id model.BrokerID) {
			c.watch(t, zkstore.BrokerPath(id), "BrokerModifications "+id.String(), func() error { return t.brokerDataChanged(id) })
		},
		unwatchBroker: func(id model.BrokerID) { t.unwatch(zkstore.BrokerPath(id)) },
		watchState:    func(tp model.TopicPartition) { c.watchState(t, tp) },
		unwatchState:  func(tp model.TopicPartition) { t.unwatch(zkstore.PartitionStatePath(tp)) },
		newTopicID:    model.NewTopicID,
	}
	return t
}

// during makes an event that counts only while the tenure lasts.
func (c *Controller) during(t *tenure, name string, run func() error) event {
	return event{name: name, run: func() error {
		if c.tenure != t {
			return nil
		}
		return run()
	}}
}

// follow sets the watches that an active controller lives by.
func (c *Controller) follow(t *tenure) {
	children := func(path, name string, run func() error) {
		t.watches[path] = c.zk.WatchChildren(path, func() { c.queue.putOnce(c.during(t, name, run)) })
	}
	children(zkstore.BrokerIDsPath, "BrokerChange", t.brokersChanged)
	children(zkstore.TopicsPath, "TopicChange", t.topicsChanged)
	children(zkstore.DeleteTopicsPath, "TopicDeletion", t.topicDeletions)
	children(zkstore.LogDirEventsPath, "LogDirEventNotification", t.logDirsFailed)
	children(zkstore.IsrChangesPath, "IsrChangeNotification", t.isrChanged)
	c.watch(t, zkstore.PreferredElectionPath, "ReplicaLeaderElection", t.preferredElectionRequested)
	c.watch(t, zkstore.ReassignPath, "ZkPartitionReassignment", func() error {
		_, err := t.reassignmentRequested()
		return err
	})
}

// watchState follows the ISR of a partition that is being reassigned. With
// AlterIsr the controller writes it itself.
func (c *Controller) watchState(t *tenure, tp model.TopicPartition) {
	path := zkstore.PartitionStatePath(tp)
	if c.opts.Versions.AlterISR || t.watches[path] != nil {
		return
	}
	c.watch(t, path, "PartitionReassignmentIsrChange "+tp.String(), func() error {
		return t.reassignmentsCaughtUp([]model.TopicPartition{tp})
	})
}

// watch follows a znode's data.
func (c *Controller) watch(t *tenure, path, name string, run func() error) {
	t.unwatch(path)
	t.watches[path] = c.zk.WatchNode(path, func() { c.queue.putOnce(c.during(t, name, run)) })
}

func (t *tenure) unwatch(path string) {
	if cancel := t.watches[path]; cancel != nil {
		delete(t.watches, path)
		cancel()
	}
}

// every enters an event after a first delay and then at an interval, counted
// from the end of the one before.
func (c *Controller) every(t *tenure, name string, first, interval time.Duration, run func() error) {
	var timer *time.Timer
	timer = time.AfterFunc(first, func() {
		c.queue.putOnce(c.during(t, name, func() error {
			defer timer.Reset(interval)
			return run()
		}))
	})
	t.timers = append(t.timers, timer)
}

// resign ends the tenure: watches, timers and channels go, and what is still
// queued for it or for the brokers counts no more.
func (c *Controller) resign() {
	t := c.tenure
	if t == nil {
		return
	}
	c.log.controller.Debugf("Resigning")
	c.tenure = nil
	c.active.Store(0)
	for _, timer := range t.timers {
		timer.Stop()
	}
	for path := range t.watches {
		t.unwatch(path)
	}
	c.log.partitions.Infof("Stopped partition state machine")
	c.log.replicas.Infof("Stopped replica state machine")
	t.sender.Close()
	c.log.controller.Infof("Resigned")
}

// expire runs, awaited, when the session was lost: nothing that was asked of
// the old session's controller happens any more.
func (c *Controller) expire() {
	c.queue.clear()
	done := make(chan struct{})
	finish := func() { close(done) }
	c.queue.put(event{name: "Expire", dropped: finish, run: func() error {
		c.known.Store(int32(model.NoBroker))
		c.resign()
		finish()
		return nil
	}})
	select {
	case <-done:
	case <-c.group.Context().Done():
	}
}
