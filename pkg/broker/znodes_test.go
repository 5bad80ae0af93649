package broker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/logging"
	"gregor/pkg/testkit"
	"gregor/pkg/zkstore"
)

// console works on a cluster as the consoles of ZooKeeper's time do: it knows
// nothing but znodes.
type console struct {
	t   *testing.T
	raw *zkstore.Raw
}

func openConsole(t *testing.T, zooKeeper string) *console {
	t.Helper()
	raw, err := zkstore.OpenRaw(zkstore.Options{Connect: zooKeeper, SessionTimeout: 2 * time.Second, Loggers: logging.Discard()}, func(zkstore.RawEvent) {})
	require.NoError(t, err)
	t.Cleanup(raw.Close)
	require.NoError(t, raw.AwaitConnected(context.Background(), 10*time.Second))
	return &console{t, raw}
}

var worldAnyone = []zkstore.RawACL{{Perms: 31, Scheme: "world", ID: "anyone"}}

func (c *console) create(path, data string) {
	c.t.Helper()
	_, err := c.raw.Create(deadline(c.t), path, []byte(data), 0, worldAnyone)
	require.NoError(c.t, err, path)
}

func (c *console) set(path, data string) {
	c.t.Helper()
	_, err := c.raw.Set(deadline(c.t), path, []byte(data), -1)
	require.NoError(c.t, err, path)
}

func (c *console) children(path string) []string {
	c.t.Helper()
	names, _, err := c.raw.Children(deadline(c.t), path, false)
	require.NoError(c.t, err, path)
	slices.Sort(names)
	return names
}

func (c *console) has(path string) bool {
	_, _, err := c.raw.Get(deadline(c.t), path, false)
	return err == nil
}

// get reads a node as JSON, nil when it is absent.
func (c *console) get(path string) map[string]any {
	c.t.Helper()
	data, _, err := c.raw.Get(deadline(c.t), path, false)
	if err != nil {
		return nil
	}
	var node map[string]any
	require.NoError(c.t, json.Unmarshal(data, &node), "%s: %s", path, data)
	return node
}

func (c *console) state(topic string, partition int) map[string]any {
	return c.get(fmt.Sprintf("/brokers/topics/%s/partitions/%d/state", topic, partition))
}

// await waits until partitions of a topic have the leaders and ISRs, which
// are in any order, that are wanted.
func (c *console) await(topic string, leaders []int, isrs [][]int) {
	c.t.Helper()
	var got string
	defer func() {
		if c.t.Failed() {
			c.t.Logf("%s is %s", topic, got)
		}
	}()
	testkit.Eventually(c.t, topic+" is as it should be", func() bool {
		got = ""
		ok := true
		for p := range leaders {
			state := c.state(topic, p)
			got += fmt.Sprintf("%d: %v ", p, state)
			if state == nil || int(state["leader"].(float64)) != leaders[p] {
				ok = false
				continue
			}
			var isr []int
			for _, id := range state["isr"].([]any) {
				isr = append(isr, int(id.(float64)))
			}
			slices.Sort(isr)
			ok = ok && slices.Equal(isr, isrs[p])
		}
		return ok
	})
}

// What a console of that time writes works, as it writes it: old versions of
// the JSON, without what later ones added, and data where none is needed.
func TestConsoleThatKnowsOnlyZnodes(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"2.8", "2.4"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := startReplicated(t, 3, map[string]string{"inter.broker.protocol.version": protocol, "auto.leader.rebalance.enable": "false"})
			console := openConsole(t, c.ZooKeeper)

			// What it reads.
			require.Equal(t, []string{"0", "1", "2"}, console.children("/brokers/ids"))
			for _, id := range []string{"0", "1", "2"} {
				node := console.get("/brokers/ids/" + id)
				require.Subset(t, slices.Collect(maps.Keys(node)), []string{"version", "host", "port", "jmx_port", "timestamp", "endpoints", "listener_security_protocol_map"})
				require.Equal(t, "127.0.0.1", node["host"])
			}
			require.EqualValues(t, 1, console.get("/controller")["version"])
			epoch, _, err := console.raw.Get(deadline(t), "/controller_epoch", false)
			require.NoError(t, err)
			require.Equal(t, "1", string(epoch))

			// A topic with its configuration.
			console.create("/config/topics/made", `{"version":1,"config":{"min.insync.replicas":"2","retention.ms":"3600000"}}`)
			console.create("/brokers/topics/made", `{"version":1,"partitions":{"0":[0,1,2],"1":[1,2,0]}}`)
			console.await("made", []int{0, 1}, [][]int{{0, 1, 2}, {0, 1, 2}})
			w := c.StartWriter("made")
			w.More(t, 20)

			// More partitions, with the other parts of the node lost.
			console.set("/brokers/topics/made", `{"version":1,"partitions":{"0":[0,1,2],"1":[1,2,0],"2":[2,0]}}`)
			console.await("made", []int{0, 1, 2}, [][]int{{0, 1, 2}, {0, 1, 2}, {0, 2}})
			w.More(t, 20)

			// A configuration, told in both versions of the notification.
			console.set("/config/topics/made", `{"version":1,"config":{"min.insync.replicas":"1"}}`)
			_, err = console.raw.Create(deadline(t), "/config/changes/config_change_", []byte(`{"version":2,"entity_path":"topics/made"}`), zkstore.FlagSequential, worldAnyone)
			require.NoError(t, err)
			awaitConfig(t, c, "made", "min.insync.replicas", "1")
			console.set("/config/topics/made", `{"version":1,"config":{"retention.ms":"1234567"}}`)
			_, err = console.raw.Create(deadline(t), "/config/changes/config_change_", []byte(`{"version":1,"entity_type":"topics","entity_name":"made"}`), zkstore.FlagSequential, worldAnyone)
			require.NoError(t, err)
			awaitConfig(t, c, "made", "retention.ms", "1234567")

			// A reassignment, under load; the node goes when it is done.
			console.create("/admin/reassign_partitions", `{"version":1,"partitions":[{"topic":"made","partition":0,"replicas":[1,0]},{"topic":"made","partition":2,"replicas":[0,1,2]}]}`)
			testkit.Eventually(t, "the reassignment is done", func() bool { return !console.has("/admin/reassign_partitions") })
			testkit.Eventually(t, "the topic says so", func() bool {
				return fmt.Sprint(console.get("/brokers/topics/made")["partitions"]) == "map[0:[1 0] 1:[1 2 0] 2:[0 1 2]]"
			})
			console.await("made", []int{0, 1, 2}, [][]int{{0, 1}, {0, 1, 2}, {0, 1, 2}})
			require.NoDirExists(t, filepath.Join(c.Members[2].Dir, "made-0"))
			w.More(t, 20)

			// Preferred leaders.
			console.create("/admin/preferred_replica_election", `{"version":1,"partitions":[{"topic":"made","partition":0},{"topic":"made","partition":1},{"topic":"made","partition":2}]}`)
			testkit.Eventually(t, "the election is over", func() bool { return !console.has("/admin/preferred_replica_election") })
			console.await("made", []int{1, 1, 0}, [][]int{{0, 1}, {0, 1, 2}, {0, 1, 2}})
			w.More(t, 20)

			// Another controller: the node is removed by hand.
			require.NoError(t, console.raw.Delete(deadline(t), "/controller", -1))
			testkit.Eventually(t, "another election", func() bool { return console.has("/controller") })
			w.More(t, 20)
			c.Members[2].Kill()
			console.await("made", []int{1, 1, 0}, [][]int{{0, 1}, {0, 1}, {0, 1}})
			w.More(t, 20)
			c.Members[2].Restart()
			console.await("made", []int{1, 1, 0}, [][]int{{0, 1}, {0, 1, 2}, {0, 1, 2}})
			c.RequireAll("made", w.End())

			// A deletion; the client library of the console writes its address.
			console.create("/admin/delete_topics/made", "192.168.1.7")
			testkit.Eventually(t, "the topic is gone", func() bool {
				return !console.has("/brokers/topics/made") && !console.has("/config/topics/made") && !console.has("/admin/delete_topics/made")
			})
			for _, m := range c.Members {
				testkit.Eventually(t, "its logs are", func() bool {
					entries, err := os.ReadDir(m.Dir)
					require.NoError(t, err)
					return !slices.ContainsFunc(entries, func(e os.DirEntry) bool {
						return strings.HasPrefix(e.Name(), "made-") && !strings.HasSuffix(e.Name(), "-delete")
					})
				})
			}
		})
	}
}

// awaitConfig waits until every broker has a topic's setting.
func awaitConfig(t *testing.T, c *testkit.Cluster, topic, key, value string) {
	t.Helper()
	testkit.Eventually(t, key+" is "+value, func() bool {
		all, err := c.Admin().DescribeTopicConfigs(deadline(t), topic)
		if err != nil || len(all) != 1 {
			return false
		}
		for _, config := range all[0].Configs {
			if config.Key == key {
				return config.MaybeValue() == value
			}
		}
		return false
	})
}

// What is written by hand and wrong costs one line, not the cluster.
func TestZnodesWrittenByHandAreWrong(t *testing.T) {
	t.Parallel()
	c := startReplicated(t, 3, map[string]string{"auto.leader.rebalance.enable": "false"})
	c.Create("good", 3, "min.insync.replicas", "2")
	w := c.StartWriter("good")
	w.More(t, 20)
	console := openConsole(t, c.ZooKeeper)
	console.create("/brokers/topics/nonsense", "no JSON at all")
	console.create("/brokers/topics/strangers", `{"version":1,"partitions":{"0":[7,8]}}`)
	console.create("/brokers/topics/twice", `{"version":1,"partitions":{"0":[1,1]}}`)
	console.create("/brokers/topics/nobody", `{"version":1,"partitions":{"0":[]}}`)
	console.create("/brokers/topics/negative", `{"version":1,"partitions":{"-1":[0],"x":[1]}}`)
	console.create("/brokers/ids/seven", "")
	console.create("/brokers/ids/77", "{}")
	console.create("/admin/delete_topics/never-was", "")
	console.create("/admin/preferred_replica_election", `{"version":1,"partitions":[{"topic":"good","partition":99},{"topic":"never-was","partition":0}]}`)
	testkit.Eventually(t, "the election is over", func() bool { return !console.has("/admin/preferred_replica_election") })
	console.create("/admin/reassign_partitions", `{"version":1,"partitions":[{"topic":"good","partition":99,"replicas":[0]},{"topic":"never-was","partition":0,"replicas":[0]},{"topic":"good","partition":0,"replicas":[]}]}`)
	testkit.Eventually(t, "there is nothing to reassign", func() bool { return !console.has("/admin/reassign_partitions") })
	_, err := console.raw.Create(deadline(t), "/isr_change_notification/isr_change_", []byte("["), zkstore.FlagSequential, worldAnyone)
	require.NoError(t, err)
	_, err = console.raw.Create(deadline(t), "/log_dir_event_notification/log_dir_event_", []byte(`{"version":1,"broker":"x"}`), zkstore.FlagSequential, worldAnyone)
	require.NoError(t, err)
	_, err = console.raw.Create(deadline(t), "/config/changes/config_change_", []byte(`{"version":2,"entity_path":"topics"}`), zkstore.FlagSequential, worldAnyone)
	require.NoError(t, err)
	_, err = console.raw.Create(deadline(t), "/config/changes/config_change_", []byte(`{"version":9}`), zkstore.FlagSequential, worldAnyone)
	require.NoError(t, err)
	w.More(t, 50)

	// A state that is removed: the leader goes on, and so does the cluster
	// with another controller.
	require.NoError(t, console.raw.Delete(deadline(t), "/brokers/topics/good/partitions/0/state", -1))
	w.More(t, 50)
	require.NoError(t, console.raw.Delete(deadline(t), "/controller", -1))
	testkit.Eventually(t, "another election", func() bool { return console.has("/controller") })
	w.More(t, 50)
	c.Create("after", 3)
	for p := range int32(3) {
		c.AwaitISR("after", p, 3)
	}
	c.Members[1].Kill()
	c.AwaitISR("after", 0, 2)
	c.Members[1].Restart()
	c.AwaitISR("after", 0, 3)
	w.More(t, 50)
	c.RequireAll("good", w.End())
	for p := range int32(3) {
		c.RequireSameFiles("good", p)
	}
}
