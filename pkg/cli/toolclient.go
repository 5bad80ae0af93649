package cli

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/client"
	"gregor/pkg/kerr"
	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/protocol"
)

// adminClient asks brokers what Kafka's AdminClient of 2.8 would ask, one
// call after the other and each over as few connections as it needs: a tool
// is to be done within milliseconds.
//
// A call is tried again, on another node where that is possible, until
// default.api.timeout.ms has passed. A node that cannot be reached is told of
// in a WARN and left alone for a growing while. Not for concurrent use.
type adminClient struct {
	settings adminSettings
	log      *logrus.Entry // of NetworkClient

	bootstrap  []*node
	brokers    map[int32]*node // by id, once metadata was asked for
	controller int32           // noNode while it is not known
	links      map[string]*link
	waits      map[string]*wait
}

// target says which node answers a request.
type target int32

const (
	anyNode        target = -1000
	controllerNode target = -1001
	noNode         int32  = -1
)

// link is a connection in use, with the versions that its broker takes.
type link struct {
	conn     *client.Conn
	versions map[int16]versionRange
}

type versionRange struct{ min, max int16 }

// wait is how long a node that could not be reached is left alone.
type wait struct {
	failures int
	until    time.Time
}

// adminSettings are the properties of an AdminClient that matter here.
type adminSettings struct {
	clientID            string
	requestTimeout      time.Duration
	apiTimeout          time.Duration
	retryBackoff        time.Duration
	reconnectBackoff    time.Duration
	reconnectBackoffMax time.Duration
	connectTimeout      time.Duration
}

// newAdminClient makes a client from --bootstrap-server and the properties of
// --command-config. It connects to nothing yet.
func newAdminClient(ctx context.Context, loggers *logging.Loggers, bootstrap string, properties map[string]string) (*adminClient, error) {
	settings, err := parseAdminSettings(properties)
	if err != nil {
		return nil, err
	}
	nodes, err := parseBootstrap(ctx, bootstrap, loggers.Logger("org.apache.kafka.clients.ClientUtils"))
	if err != nil {
		return nil, causedBy(err, kafkaException, "Failed to create new KafkaAdminClient")
	}
	warnUnknownKeys(loggers.Logger("org.apache.kafka.clients.admin.AdminClientConfig"), adminKeys, properties)
	return &adminClient{settings: settings, log: loggers.Logger("org.apache.kafka.clients.NetworkClient"),
		bootstrap: nodes, controller: noNode, links: map[string]*link{}, waits: map[string]*wait{}}, nil
}

// Close ends all connections.
func (a *adminClient) Close() {
	for _, l := range a.links {
		l.conn.Close()
	}
}

// call sends a request in the newest version that both sides know and returns
// its response. name is what AdminClient calls the operation, for the text of
// the time-out.
func (a *adminClient) call(ctx context.Context, name string, to target, req kmsg.Request) (kmsg.Response, error) {
	o := a.begin(name)
	for {
		resp, err := a.attempt(ctx, o, to, req)
		if err == nil {
			return resp, nil
		}
		if err := a.pause(ctx, o, err); err != nil {
			return nil, err
		}
	}
}

// callController is call for requests to the controller. rejected looks at a
// response and tells whether the node is not the controller any more; then
// the controller is looked for again.
func (a *adminClient) callController(ctx context.Context, name string, req kmsg.Request, rejected func(kmsg.Response) bool) (kmsg.Response, error) {
	o := a.begin(name)
	for {
		resp, err := a.attempt(ctx, o, controllerNode, req)
		if err == nil {
			if !rejected(resp) {
				return resp, nil
			}
			a.controller, err = noNode, kerr.NotController
		}
		if err := a.pause(ctx, o, err); err != nil {
			return nil, err
		}
	}
}

// operation is one operation with the time that it has.
type operation struct {
	name     string
	deadline time.Time
	tries    int
	sent     bool // a request reached a node
}

func (a *adminClient) begin(name string) *operation {
	return &operation{name: name, deadline: time.Now().Add(a.settings.apiTimeout)}
}

// errNoNode is the outcome of an attempt for which no node could be reached.
var errNoNode = errors.New("no node")

// attempt tries an operation on the nodes that may serve it.
func (a *adminClient) attempt(ctx context.Context, o *operation, to target, req kmsg.Request) (kmsg.Response, error) {
	ctx, cancel := context.WithDeadline(ctx, o.deadline)
	defer cancel()
	n, err := a.pick(ctx, to)
	if err != nil {
		return nil, err
	}
	l, err := a.connect(ctx, n)
	if err != nil {
		a.controller, a.brokers = noNode, nil // ask again: it may be another by now
		return nil, err
	}
	o.sent = true
	return a.send(ctx, l, n, req)
}

// pause waits before the next attempt, or returns the error that ends the
// call: what cannot be tried again, and the time-out.
func (a *adminClient) pause(ctx context.Context, o *operation, err error) error {
	if kind := new(kerr.Error); errors.As(err, &kind) && !kind.Retriable {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !errors.Is(err, errNoNode) {
		o.tries++
	}
	now := time.Now()
	until := now.Add(a.settings.retryBackoff)
	if until.Before(o.deadline) {
		return sleep(ctx, until.Sub(now))
	}
	if err := sleep(ctx, o.deadline.Sub(now)); err != nil {
		return err
	}
	return a.timedOut(o, err)
}

// timedOut is the TimeoutException of AdminClient.
func (a *adminClient) timedOut(o *operation, last error) error {
	now := time.Now()
	cause := kerr.RequestTimedOut.With("Timed out waiting for a node assignment. Call: %s", o.name)
	if o.sent && !errors.Is(last, errNoNode) {
		cause = last
		if kind := new(kerr.Error); !errors.As(last, &kind) {
			cause = kerr.RequestTimedOut.With("Timed out waiting to send the call. Call: %s", o.name)
		}
	}
	tries := o.tries + 1
	return causedBy(cause, kerr.RequestTimedOut.JavaClass(),
		"Call(callName=%s, deadlineMs=%d, tries=%d, nextAllowedTryMs=%d) timed out at %d after %d attempt(s)",
		o.name, o.deadline.UnixMilli(), tries, now.Add(a.settings.retryBackoff).UnixMilli(), now.UnixMilli(), tries)
}

// sleep waits, unless ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pick chooses the node for a target.
func (a *adminClient) pick(ctx context.Context, to target) (*node, error) {
	switch {
	case to == anyNode:
		return a.pickAny(ctx)
	case to == controllerNode:
		if a.controller == noNode {
			if err := a.refresh(ctx); err != nil {
				return nil, err
			}
		}
		to = target(a.controller)
	case a.brokers == nil:
		if err := a.refresh(ctx); err != nil {
			return nil, err
		}
	}
	if n := a.brokers[int32(to)]; n != nil {
		return n, nil
	}
	a.controller, a.brokers = noNode, nil // ask again next time
	return nil, errNoNode
}

// pickAny prefers a node that is connected, then takes any that is not left
// alone, and connects to it.
func (a *adminClient) pickAny(ctx context.Context) (*node, error) {
	nodes := a.bootstrap
	for _, n := range nodes {
		if a.links[n.key()] != nil {
			return n, nil
		}
	}
	for _, i := range rand.Perm(len(nodes)) {
		if _, err := a.connect(ctx, nodes[i]); err == nil {
			return nodes[i], nil
		}
	}
	return nil, errNoNode
}

// refresh asks any node for the brokers and the controller.
func (a *adminClient) refresh(ctx context.Context) error {
	n, err := a.pickAny(ctx)
	if err != nil {
		return err
	}
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	resp, err := a.send(ctx, a.links[n.key()], n, req)
	if err != nil {
		return err
	}
	a.learn(resp.(*kmsg.MetadataResponse))
	return nil
}

// learn takes the brokers of a metadata response.
func (a *adminClient) learn(m *kmsg.MetadataResponse) {
	a.controller, a.brokers = m.ControllerID, map[int32]*node{}
	for _, b := range m.Brokers {
		a.brokers[b.NodeID] = &node{id: b.NodeID, host: b.Host, port: b.Port}
	}
}

func (n *node) key() string { return fmt.Sprintf("%s:%d", n.host, n.port) }

// connect returns the connection to a node, making it when there is none.
func (a *adminClient) connect(ctx context.Context, n *node) (*link, error) {
	if l := a.links[n.key()]; l != nil {
		return l, nil
	}
	w := a.waits[n.key()]
	if w == nil {
		w = &wait{}
		a.waits[n.key()] = w
	}
	if time.Now().Before(w.until) {
		return nil, errNoNode
	}
	l, err := a.dial(ctx, n)
	if err != nil {
		w.failures++
		w.until = time.Now().Add(a.settings.reconnectPause(w.failures))
		n.next++
		return nil, err
	}
	delete(a.waits, n.key())
	a.links[n.key()] = l
	return l, nil
}

// dial connects to a node and learns its versions: with ApiVersions v3, or v0
// when the broker, being older, answers in that form. A host without an
// address is named: it is what a broker advertises by mistake.
func (a *adminClient) dial(ctx context.Context, n *node) (*link, error) {
	if !n.resolve(ctx) {
		a.log.WithError(exceptionf("java.net.UnknownHostException", "%s", n.host)).
			Warnf("[AdminClient clientId=%s] Error connecting to node %s (id: %d rack: null)", a.settings.clientID, n.key(), n.id)
		return nil, errNoNode
	}
	l, err := a.dialAs(ctx, n, 3)
	if errors.Is(err, client.ErrProtocol) {
		l, err = a.dialAs(ctx, n, 0)
	}
	if err != nil {
		return nil, errNoNode
	}
	return l, nil
}

func (a *adminClient) dialAs(ctx context.Context, n *node, apiVersion int16) (*link, error) {
	to := model.Endpoint{Listener: "PLAINTEXT", Host: n.address(), Port: n.port}
	dialing, cancel := context.WithTimeout(ctx, a.settings.connectTimeout)
	defer cancel()
	conn, err := client.Dial(dialing, to, client.Options{ClientID: a.settings.clientID, RequestTimeout: a.settings.requestTimeout})
	if err != nil {
		if ctx.Err() == nil {
			a.log.Warnf("[AdminClient clientId=%s] Connection to node %d (%s) could not be established. Broker may not be available.",
				a.settings.clientID, n.id, n.name())
		}
		return nil, errNoNode
	}
	versions, err := askVersions(ctx, conn, apiVersion)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &link{conn: conn, versions: versions}, nil
}

// askVersions sends ApiVersions in the given version.
func askVersions(ctx context.Context, conn *client.Conn, version int16) (map[int16]versionRange, error) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version = version
	req.ClientSoftwareName, req.ClientSoftwareVersion = "gregor", "2.8.2"
	resp, err := conn.Request(ctx, req)
	if err != nil {
		return nil, err
	}
	r := resp.(*kmsg.ApiVersionsResponse)
	if r.ErrorCode != 0 {
		return nil, kerr.ForCode(r.ErrorCode)
	}
	versions := make(map[int16]versionRange, len(r.ApiKeys))
	for _, k := range r.ApiKeys {
		versions[k.ApiKey] = versionRange{k.MinVersion, k.MaxVersion}
	}
	return versions, nil
}

// send chooses the version and does one round trip. The link is dropped when
// that fails.
func (a *adminClient) send(ctx context.Context, l *link, n *node, req kmsg.Request) (kmsg.Response, error) {
	api, _ := protocol.Lookup(req.Key())
	theirs, ok := l.versions[req.Key()]
	version := min(api.Max, theirs.max)
	if !ok || version < theirs.min {
		return nil, kerr.UnsupportedVersion.With("The broker does not support %s", api.Name)
	}
	req.SetVersion(version)
	resp, err := l.conn.Request(ctx, req)
	if err != nil {
		delete(a.links, n.key())
		return nil, err
	}
	return resp, nil
}

// reconnectPause doubles from reconnect.backoff.ms up to
// reconnect.backoff.max.ms, give or take a fifth, as Kafka's does.
func (s adminSettings) reconnectPause(failures int) time.Duration {
	pause := s.reconnectBackoff
	for range min(failures-1, 20) {
		pause = min(2*pause, s.reconnectBackoffMax)
	}
	return time.Duration(float64(pause) * (0.8 + 0.4*rand.Float64()))
}

// brokerIDs are the ids of the brokers that metadata showed, sorted.
func (a *adminClient) brokerIDs() []int32 {
	ids := make([]int32, 0, len(a.brokers))
	for id := range a.brokers {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// requestTimeoutMs is what requests with a time-out of their own carry.
func (a *adminClient) requestTimeoutMs() int32 {
	return int32(a.settings.requestTimeout.Milliseconds())
}
