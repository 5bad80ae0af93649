package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/config"
	"gregor/pkg/logging"
	"gregor/pkg/zkstore"
)

// configNodes is /config in memory.
type configNodes struct {
	mu       sync.Mutex
	settings map[string]map[string]string // by TYPE/NAME
	bad      map[string]bool
	changes  []zkstore.ConfigChange
	purges   int
	fail     error
	watch    func()
}

func newConfigNodes() *configNodes {
	return &configNodes{settings: map[string]map[string]string{}, bad: map[string]bool{}}
}

func (n *configNodes) EntityConfig(_ context.Context, entityType, name string) (map[string]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.bad[entityType+"/"+name] {
		return nil, fmt.Errorf("/config/%s/%s: %w", entityType, name, zkstore.ErrBadData)
	}
	return maps.Clone(n.settings[entityType+"/"+name]), nil
}

func (n *configNodes) EntityNames(_ context.Context, entityType string) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var names []string
	for path := range n.settings {
		if name, ok := strings.CutPrefix(path, entityType+"/"); ok && !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	return names, nil
}

func (n *configNodes) EntityConfigs(ctx context.Context, entityType string, names []string) (map[string]map[string]string, error) {
	configs := map[string]map[string]string{}
	var bad error
	for _, name := range names {
		settings, err := n.EntityConfig(ctx, entityType, name)
		if err != nil {
			bad = err
			continue
		}
		configs[name] = settings
	}
	return configs, bad
}

func (n *configNodes) ConfigChanges(_ context.Context, after int64) ([]zkstore.ConfigChange, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fail != nil {
		return nil, n.fail
	}
	var newer []zkstore.ConfigChange
	for _, c := range n.changes {
		if c.Number > after {
			newer = append(newer, c)
		}
	}
	return newer, nil
}

func (n *configNodes) PurgeConfigChanges(context.Context, time.Time, time.Duration) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.purges++
	return nil
}

func (n *configNodes) WatchChildren(path string, fn func()) func() {
	n.mu.Lock()
	n.watch = fn
	n.mu.Unlock()
	fn() // as the store does once for each watch
	return func() {}
}

// set writes an entity and its notification.
func (n *configNodes) set(entityType, name string, settings map[string]string) {
	n.mu.Lock()
	n.settings[entityType+"/"+name] = settings
	n.changes = append(n.changes, zkstore.ConfigChange{Notification: zkstore.Notification{Number: int64(len(n.changes)), Data: []byte(entityType + "/" + name)},
		EntityType: entityType, EntityName: name})
	watch := n.watch
	n.mu.Unlock()
	if watch != nil {
		watch()
	}
}

// record returns appliers that write down what they are given.
func record(log *[]string) map[string]ConfigApplier {
	var mu sync.Mutex
	appliers := map[string]ConfigApplier{}
	for _, entityType := range []string{zkstore.EntityTopics, zkstore.EntityUsers} {
		appliers[entityType] = func(name string, settings map[string]string) {
			mu.Lock()
			defer mu.Unlock()
			*log = append(*log, fmt.Sprintf("%s/%s %v", entityType, name, settings))
		}
	}
	return appliers
}

func TestConfigChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newConfigNodes()
		nodes.settings["topics/old"] = map[string]string{"retention.ms": "1"}
		nodes.settings["users/u"] = map[string]string{}
		nodes.settings["users/u/clients/c"] = map[string]string{"producer_byte_rate": "5"}
		var applied []string
		var out strings.Builder
		c := NewConfigChanges(nodes, record(&applied), logging.New(&out))
		require.NoError(t, c.Start(t.Context()))
		synctest.Wait()
		require.ElementsMatch(t, []string{"topics/old map[retention.ms:1]", "users/u map[]", "users/u/clients/c map[producer_byte_rate:5]"}, applied)
		require.Equal(t, 0, nodes.purges, "nothing was notified")

		applied = nil
		nodes.set("topics", "t", map[string]string{"max.message.bytes": "64000", "flush.messages": "1"})
		synctest.Wait()
		nodes.set("topics", "t", map[string]string{})
		nodes.set("users", "u", map[string]string{"SCRAM-SHA-256": "salt=x"})
		synctest.Wait()
		require.Equal(t, []string{"topics/t map[flush.messages:1 max.message.bytes:64000]", "topics/t map[]", "users/u map[SCRAM-SHA-256:salt=x]"}, applied)
		require.Positive(t, nodes.purges)
		c.Shutdown()
		nodes.set("topics", "t", map[string]string{"retention.ms": "9"})
		synctest.Wait()
		require.Len(t, applied, 3)

		require.Equal(t, []string{
			"INFO [/config/changes-event-process-thread]: Starting (kafka.common.ZkNodeChangeNotificationListener$ChangeEventProcessThread)",
			"INFO Processing notification(s) to /config/changes (kafka.common.ZkNodeChangeNotificationListener)",
			"INFO Processing override for entityPath: topics/t with config: HashMap(max.message.bytes -> 64000, flush.messages -> 1) (kafka.server.DynamicConfigManager)",
			"INFO Processing override for entityPath: topics/t with config: HashMap() (kafka.server.DynamicConfigManager)",
			"INFO Processing override for entityPath: users/u with config: HashMap(SCRAM-SHA-256 -> [hidden]) (kafka.server.DynamicConfigManager)",
			"INFO [/config/changes-event-process-thread]: Shutting down (kafka.common.ZkNodeChangeNotificationListener$ChangeEventProcessThread)",
			"INFO [/config/changes-event-process-thread]: Stopped (kafka.common.ZkNodeChangeNotificationListener$ChangeEventProcessThread)",
			"INFO [/config/changes-event-process-thread]: Shutdown completed (kafka.common.ZkNodeChangeNotificationListener$ChangeEventProcessThread)",
		}, once(lines(out.String())))
	})
}

// lines cuts the time off each line.
func lines(text string) []string {
	var all []string
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		_, rest, _ := strings.Cut(line, "] ")
		all = append(all, rest)
	}
	return all
}

// once drops lines that came before: how many notifications one look finds is
// up to the scheduler.
func once(all []string) []string {
	seen := map[string]bool{}
	var kept []string
	for _, line := range all {
		if !seen[line] {
			kept = append(kept, line)
		}
		seen[line] = true
	}
	return kept
}

func TestConfigChangesGoOnAfterBadOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newConfigNodes()
		nodes.bad["topics/broken"] = true
		nodes.settings["topics/broken"] = nil
		nodes.changes = []zkstore.ConfigChange{
			{Notification: zkstore.Notification{Number: 0, Data: []byte("junk")}, Err: zkstore.ErrBadData},
			{Notification: zkstore.Notification{Number: 1, Data: []byte("{}")}, EntityType: "planets", EntityName: "p"},
			{Notification: zkstore.Notification{Number: 2, Data: []byte("{}")}, EntityType: "topics", EntityName: "broken"},
		}
		nodes.fail = zkstore.ErrSessionExpired
		var applied []string
		var out strings.Builder
		c := NewConfigChanges(nodes, record(&applied), logging.New(&out))
		require.NoError(t, c.Start(t.Context()))
		defer c.Shutdown()
		synctest.Wait()
		require.Contains(t, out.String(), "ERROR Error while processing notification change for path = /config/changes")
		nodes.mu.Lock()
		nodes.fail = nil
		nodes.mu.Unlock()
		nodes.set("topics", "t", map[string]string{"a": "b"})
		synctest.Wait()
		require.Equal(t, []string{"topics/t map[a:b]"}, applied)
		require.Contains(t, out.String(), "ERROR /config/topics/broken: ")
		require.Equal(t, 3, strings.Count(out.String(), "ERROR Error while processing data change (data = "))
	})
}

func brokerConfig(t *testing.T, out *strings.Builder, settings string) *BrokerConfig {
	p, err := config.ParseProperties("s", []byte("zookeeper.connect=a\n"+settings))
	require.NoError(t, err)
	file, _, err := config.ParseBroker(p, nil)
	require.NoError(t, err)
	return NewBrokerConfig(3, file, logging.New(out))
}

func TestBrokerConfigLoad(t *testing.T) {
	var out strings.Builder
	b := brokerConfig(t, &out, "broker.id=3\nlog.segment.bytes=100")
	nodes := newConfigNodes()
	nodes.settings["brokers/<default>"] = map[string]string{"log.segment.bytes": "200", "message.max.bytes": "5"}
	nodes.settings["brokers/3"] = map[string]string{"log.segment.bytes": "300"}
	require.NoError(t, b.Load(t.Context(), nodes))
	require.Equal(t, 300, b.Current().Int("log.segment.bytes"))
	require.Equal(t, 5, b.Current().Int("message.max.bytes"))
	require.Equal(t, 2, strings.Count(out.String(), "INFO KafkaConfig values: \n\tadvertised.host.name = null\n"))
	require.True(t, strings.HasSuffix(out.String(), "\tzookeeper.sync.time.ms = 2000\n (kafka.server.KafkaConfig)\n"))

	nodes.bad["brokers/3"] = true
	require.True(t, errors.Is(b.Load(t.Context(), nodes), zkstore.ErrBadData))
}

func TestBrokerConfigRefusesTogether(t *testing.T) {
	var out strings.Builder
	b := brokerConfig(t, &out, "broker.id=3")
	b.Apply("3", map[string]string{"log.roll.ms": "0", "my.secret": "x"})
	require.Contains(t, out.String(), "ERROR Per-broker configs of 3 could not be applied: {log.roll.ms=0, my.secret=[hidden]} (kafka.server.DynamicBrokerConfig)\n"+
		"java.lang.IllegalArgumentException: requirement failed: log.roll.ms must be greater than or equal to 1\n")
	require.EqualValues(t, 168*3600_000, b.Current().LogRollMs())
	b.Apply(DefaultEntity, map[string]string{"log.roll.ms": "x"})
	require.Contains(t, out.String(), "ERROR Dynamic default cluster config contains invalid values: Map(log.roll.ms -> x), these configs will be ignored (kafka.server.DynamicBrokerConfig)\n")
	b.Apply("4", map[string]string{"log.roll.ms": "7"})
	require.EqualValues(t, 168*3600_000, b.Current().LogRollMs(), "another broker's settings")
}
