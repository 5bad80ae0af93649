package broker

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/pkg/admin"
	"gregor/pkg/api"
	"gregor/pkg/config"
	"gregor/pkg/controller"
	"gregor/pkg/group"
	"gregor/pkg/lifecycle"
	"gregor/pkg/logging"
	"gregor/pkg/logmanager"
	"gregor/pkg/metadata"
	"gregor/pkg/model"
	"gregor/pkg/network"
	"gregor/pkg/replica"
	"gregor/pkg/txn"
	"gregor/pkg/zkstore"
)

// The release whose behaviour this is, as AppInfoParser tells it.
const (
	kafkaVersion  = "2.8.2"
	kafkaCommitID = "3146c6ff4a24cc24"
	appInfoClass  = "org.apache.kafka.common.utils.AppInfoParser"
)

// Broker is one broker from start to end. Start, then Shutdown; it is not
// started twice.
type Broker struct {
	static  *config.Broker      // as read from the file and the command line
	dynamic *admin.BrokerConfig // nil until the id is settled
	loggers *logging.Loggers
	log     *logrus.Entry // kafka.server.KafkaServer
	done    chan struct{}
	fail    sync.Once

	id          model.BrokerID
	idSettled   bool
	clusterID   string
	offlineDirs []string     // unusable at the start
	epoch       atomic.Int64 // czxid of the registration
	session     *sessionKeeper

	group        *lifecycle.Group
	store        *zkstore.Store
	logs         *logmanager.Manager
	metadata     *metadata.Cache
	replicas     *replica.Manager
	quotas       replica.Quotas
	network      *network.Server
	router       *api.Router
	controller   *controller.Controller
	admin        *admin.ZK
	topics       *admin.Topics
	groups       *group.Coordinator
	topicConfigs *topicConfigs
	changes      *admin.ConfigChanges
	producerIDs  *txn.ProducerIDs
	features     *features

	stops       []func(ctx context.Context) // of the steps taken, undone from the end
	shutdownErr error
}

// New returns a broker that has done nothing yet.
func New(static *config.Broker, loggers *logging.Loggers) *Broker {
	b := &Broker{
		static: static, loggers: loggers,
		log:  loggers.Logger("kafka.server.KafkaServer"),
		done: make(chan struct{}),
		id:   static.BrokerID(),
	}
	b.group = lifecycle.NewGroup(context.Background())
	return b
}

// prefix begins the broker's lines once its id is settled.
func (b *Broker) prefix() string {
	if !b.idSettled {
		return ""
	}
	return fmt.Sprintf("[KafkaServer id=%d] ", b.id)
}

// Done is closed when the broker can serve no more and wants to be shut down,
// such as after its last log directory has failed.
func (b *Broker) Done() <-chan struct{} { return b.done }

// ID is the broker's id; settled once Start has returned.
func (b *Broker) ID() model.BrokerID { return b.id }

// Addresses are the listeners as bound.
func (b *Broker) Addresses() []model.Endpoint { return b.network.Endpoints() }

// Start takes the steps of the package comment. When one fails everything
// before it is stopped, and the error says what Kafka says.
func (b *Broker) Start(ctx context.Context) error {
	started := time.Now()
	b.log.Info("starting")
	for _, step := range []func(context.Context) error{
		b.connectZooKeeper, b.settleIdentity, b.startLogs, b.bindSockets, b.startReplicas, b.register, b.writeIdentity,
		b.startController, b.startCoordinators, b.followConfiguration, b.acceptRequests,
	} {
		if err := step(ctx); err != nil {
			b.log.WithError(err).Errorf("%sFatal error during KafkaServer startup. Prepare to shutdown", b.prefix())
			b.log.Infof("%sshutting down", b.prefix())
			b.unwind(context.Background())
			b.log.Infof("%sshut down completed", b.prefix())
			return err
		}
	}
	info := b.loggers.Logger(appInfoClass)
	info.Info("Kafka version: " + kafkaVersion)
	info.Info("Kafka commitId: " + kafkaCommitID)
	info.Infof("Kafka startTimeMs: %d", started.UnixMilli())
	b.log.Infof("%sstarted", b.prefix())
	return nil
}

// onStop enters what undoes a step.
func (b *Broker) onStop(f func(ctx context.Context)) { b.stops = append(b.stops, f) }

// unwind stops what was started, last first. Nobody waits for ZooKeeper on the
// broker's own behalf any more.
func (b *Broker) unwind(ctx context.Context) {
	b.group.Cancel()
	for i := len(b.stops) - 1; i >= 0; i-- {
		b.stops[i](ctx)
	}
	b.stops = nil
	b.group.Close() //nolint:errcheck // its goroutines return none
}

// connectZooKeeper opens the session and makes the top-level paths.
func (b *Broker) connectZooKeeper(ctx context.Context) error {
	c := b.static
	b.log.Infof("Connecting to zookeeper on %s", c.String("zookeeper.connect"))
	b.session = newSessionKeeper(c.LogDirs()[0])
	store, err := zkstore.Open(ctx, zkstore.Options{
		Connect:           c.String("zookeeper.connect"),
		SessionTimeout:    milliseconds(c.Int("zookeeper.session.timeout.ms")),
		ConnectionTimeout: milliseconds(c.ZooKeeperConnectionTimeoutMs()),
		MaxInFlight:       c.Int("zookeeper.max.in.flight.requests"),
		SetACL:            c.Bool("zookeeper.set.acl"),
		Name:              "Kafka server",
		CreateChroot:      true,
		Loggers:           b.loggers,
		PreviousSessionID: b.session.previous(),
		OnSessionID:       b.session.set,
	})
	if err != nil {
		return err
	}
	b.store = store
	b.onStop(func(context.Context) {
		store.Close()
		b.session.forget()
	})
	if err := store.CreateTopLevelPaths(ctx); err != nil {
		return err
	}
	if err := b.followFeatures(ctx); err != nil {
		return err
	}
	id, err := b.claimClusterID(ctx)
	if err != nil {
		return err
	}
	b.clusterID = id
	b.log.Infof("Cluster ID = %s", id)
	return nil
}

// claimClusterID reads /cluster/id, or makes one up for a new cluster.
func (b *Broker) claimClusterID(ctx context.Context) (string, error) {
	if id, found, err := b.store.ClusterID(ctx); found || err != nil {
		return id, err
	}
	return b.store.CreateOrGetClusterID(ctx, newClusterID())
}

func newClusterID() string {
	var u [16]byte
	rand.Read(u[:]) // never fails, see crypto/rand
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return base64.RawURLEncoding.EncodeToString(u[:])
}

// bindSockets opens the ports.
func (b *Broker) bindSockets(context.Context) error {
	c := b.current()
	var listeners []network.Listener
	for _, e := range c.Listeners() {
		l := network.Listener{Endpoint: e, InterBroker: e.Listener == c.InterBrokerListener()}
		if l.ControlPlane = !l.InterBroker && e.Listener == c.ControlPlaneListener(); l.ControlPlane {
			listeners = slices.Insert(listeners, 0, l) // as in Kafka it comes first
			continue
		}
		listeners = append(listeners, l)
	}
	b.router = api.NewRouter()
	b.network = network.New(network.Options{
		NodeID:              b.id,
		Listeners:           listeners,
		MaxRequestBytes:     c.Int("socket.request.max.bytes"),
		MaxQueuedBytes:      c.Long("queued.max.request.bytes"),
		SendBufferBytes:     c.Int("socket.send.buffer.bytes"),
		ReceiveBufferBytes:  c.Int("socket.receive.buffer.bytes"),
		IdleMax:             time.Duration(c.Long("connections.max.idle.ms")) * time.Millisecond,
		MaxConnections:      c.Int("max.connections"),
		MaxConnectionsPerIP: c.Int("max.connections.per.ip"),
		PerIPOverrides:      c.MaxConnectionsPerIPOverrides(),
		Loggers:             b.loggers,
	}, b.router)
	b.onStop(func(context.Context) { b.network.Close() }) //nolint:errcheck // a second call; the first one told
	if err := b.network.Bind(); err != nil {
		return &fatalError{class: "org.apache.kafka.common.KafkaException", text: err.Error()}
	}
	return nil
}

// advertised are the endpoints that are published: a port of 0 is the bound
// one, an empty host this machine's name.
func (b *Broker) advertised() []model.Endpoint {
	endpoints := b.current().AdvertisedListeners()
	for i := range endpoints {
		e := &endpoints[i]
		if e.Host == "" {
			e.Host = canonicalHost()
		}
		for _, bound := range b.network.Endpoints() {
			if e.Port == 0 && bound.Listener == e.Listener {
				e.Port = bound.Port
			}
		}
	}
	return endpoints
}

// canonicalHost is what Java's getCanonicalHostName gives for this machine:
// the name that its address resolves back to, else the address.
func canonicalHost() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	addresses, err := net.LookupHost(name)
	if err != nil || len(addresses) == 0 {
		return name
	}
	names, err := net.LookupAddr(addresses[0])
	if err != nil || len(names) == 0 {
		return addresses[0]
	}
	return strings.TrimSuffix(names[0], ".")
}

// acceptRequests enters every handler and opens the doors.
func (b *Broker) acceptRequests(ctx context.Context) error {
	b.registerHandlers()
	b.network.Start()
	b.onStop(func(context.Context) {
		b.network.StopAccepting()
		if err := b.network.Close(); err != nil {
			b.log.WithError(err).Warnf("%sthe socket server ended with an error", b.prefix())
		}
	})
	b.warnAtFirstLook(b.Look(ctx))
	b.watchOffsetsReplication()
	return nil
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }
