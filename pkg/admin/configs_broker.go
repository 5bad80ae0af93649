package admin

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sirupsen/logrus"

	"gregor/pkg/config"
	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

// BrokerConfig is the configuration of this broker as it is now: the file,
// and what /config/brokers holds above it. Readers take Current, which never
// waits; changes come through Apply. Safe for concurrent use.
type BrokerConfig struct {
	id      model.BrokerID
	current atomic.Pointer[config.Broker]
	values  *logrus.Entry // kafka.server.KafkaConfig
	log     *logrus.Entry // kafka.server.DynamicBrokerConfig

	// mu guards the fields below and orders changes. It is held while the
	// functions of OnChange run, which must not call Apply or OnChange.
	mu       sync.Mutex
	onChange []func(was, is *config.Broker)
}

// NewBrokerConfig begins with what the file says. The id is that of the
// broker, which the file may leave to be drawn.
func NewBrokerConfig(id model.BrokerID, file *config.Broker, loggers *logging.Loggers) *BrokerConfig {
	b := &BrokerConfig{id: id, values: loggers.Logger("kafka.server.KafkaConfig"), log: loggers.Logger("kafka.server.DynamicBrokerConfig")}
	b.current.Store(file)
	return b
}

// ID is the id of this broker.
func (b *BrokerConfig) ID() model.BrokerID { return b.id }

// Current is the configuration in force.
func (b *BrokerConfig) Current() *config.Broker { return b.current.Load() }

// OnChange registers a function that is called after each change, in the
// order of registration.
func (b *BrokerConfig) OnChange(fn func(was, is *config.Broker)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.onChange = append(b.onChange, fn)
}

// ConfigReader reads the settings of entities; *zkstore.Store does.
type ConfigReader interface {
	EntityConfig(ctx context.Context, entityType, name string) (map[string]string, error)
}

// Load takes up what ZooKeeper holds for all brokers and for this one, at the
// start and before anything else uses the configuration.
func (b *BrokerConfig) Load(ctx context.Context, store ConfigReader) error {
	for _, name := range []string{DefaultEntity, b.id.String()} {
		settings, err := store.EntityConfig(ctx, zkstore.EntityBrokers, name)
		if err != nil {
			return err
		}
		b.Apply(name, settings)
	}
	return nil
}

// Apply puts new settings of all brokers (DefaultEntity) or of this broker in
// force; those of another broker are not for us. Settings that cannot be used
// are told and left out; if they cannot be used together, nothing changes.
func (b *BrokerConfig) Apply(name string, settings map[string]string) {
	perBroker := name != DefaultEntity
	if perBroker && name != b.id.String() {
		return
	}
	clean, complaints := config.CleanDynamic(settings, perBroker)
	for _, text := range complaints {
		b.log.Error(text)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.current.Load()
	clusterDefault, own := clean, was.PerBroker()
	if perBroker {
		clusterDefault, own = was.ClusterDefaults(), clean
	}
	is, err := was.WithDynamic(clusterDefault, own)
	if err != nil {
		b.notApplied(perBroker, settings, err)
		return
	}
	b.values.Info(is.Dump())
	b.current.Store(is)
	for _, fn := range b.onChange {
		fn(was, is)
	}
}

func (b *BrokerConfig) notApplied(perBroker bool, settings map[string]string, err error) {
	shown := make([]string, 0, len(settings))
	for name := range settings {
		shown = append(shown, name+"="+loggable(config.BrokerKey(name), settings[name]))
	}
	slices.Sort(shown)
	text := "{" + strings.Join(shown, ", ") + "}"
	if perBroker {
		b.log.WithError(err).Errorf("Per-broker configs of %d could not be applied: %s", b.id, text)
		return
	}
	b.log.WithError(err).Errorf("Cluster default configs could not be applied: %s", text)
}

// loggable is a value as it may be logged: hidden when it is, or may be, a
// secret.
func loggable(k *config.Key, value string) string {
	if k == nil || k.Sensitive() {
		return "[hidden]"
	}
	return value
}
