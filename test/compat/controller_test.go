//go:build compat

package compat

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/protocol"
	"gregor/pkg/zkstore"
)

var updateGolden = flag.Bool("update-golden", false, "write what Java's controller sends into pkg/controller/testdata/java")

// TestRequestsOfJavasController holds pkg/controller/testdata/java against a
// controller of Kafka 2.8.2: the same events, the same requests to the other
// brokers. Those are stand-ins that note what they are sent and answer that
// all is well. pkg/controller holds its own requests against the same files.
func TestRequestsOfJavasController(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(home(), "pkg", "controller", "testdata", "java", "*.txt"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { recordScript(t, file) })
	}
}

func recordScript(t *testing.T, file string) {
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	settings := map[string]string{"auto.leader.rebalance.enable": "false"}
	var got strings.Builder
	var r *recorder
	for _, line := range strings.Split(strings.TrimRight(string(want), "\n"), "\n") {
		command, ok := strings.CutPrefix(line, "> ")
		switch {
		case strings.HasPrefix(line, "#"):
			fmt.Fprintln(&got, line)
			continue
		case !ok:
			continue // what was sent the last time
		}
		fmt.Fprintln(&got, line)
		words := strings.Fields(command)
		if words[0] == "ibp" {
			settings["inter.broker.protocol.version"] = words[1]
			continue
		}
		if r == nil {
			r = startRecorder(t, settings)
		}
		r.run(words)
		for _, line := range r.settle() {
			fmt.Fprintln(&got, line)
		}
	}
	if *updateGolden {
		require.NoError(t, os.WriteFile(file, []byte(got.String()), 0o644))
		return
	}
	require.Equal(t, string(want), got.String())
}

// recorder is a cluster of a Java controller, broker 0, and of stand-ins.
type recorder struct {
	t       *testing.T
	zk      *zkstore.Store
	client  *kgo.Client // of the controller
	address string      // of ZooKeeper
	places  map[model.BrokerID]*standIn

	mu     sync.Mutex
	latest time.Time // of a request
	epochs map[int64]int64
	topics map[[16]byte]byte
}

// standIn is a broker that does nothing but listen.
type standIn struct {
	*recorder
	id       model.BrokerID
	zk       *zkstore.Store
	epoch    model.BrokerEpoch
	listener net.Listener
	got      []string // guarded by recorder.mu
}

func startRecorder(t *testing.T, settings map[string]string) *recorder {
	t.Helper()
	place := zooKeeper(t, gregor, t.TempDir(), 0)
	b := broker(t, kafka28, 0, place.Address, t.TempDir(), settings)
	r := &recorder{t: t, places: map[model.BrokerID]*standIn{}, address: place.Address, epochs: map[int64]int64{}, topics: map[[16]byte]byte{}}
	r.zk = r.open(place.Address)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Address))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	r.client = client
	eventually(t, time.Minute, "Java is the controller", func() bool {
		id, err := r.zk.ControllerID(context.Background())
		return err == nil && id == 0
	})
	brokers, err := r.zk.Brokers(context.Background())
	require.NoError(t, err)
	r.epochs[int64(brokers[0].Epoch)] = 101
	return r
}

func (r *recorder) open(address string) *zkstore.Store {
	r.t.Helper()
	zk, err := zkstore.Open(context.Background(), zkstore.Options{Connect: address, SessionTimeout: 30 * time.Second, Loggers: logging.Discard()})
	require.NoError(r.t, err)
	r.t.Cleanup(zk.Close)
	return zk
}

func (r *recorder) up(id model.BrokerID) {
	r.t.Helper()
	s := &standIn{recorder: r, id: id, zk: r.open(r.address)}
	var err error
	s.listener, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(r.t, err)
	r.t.Cleanup(func() { s.listener.Close() })
	go func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	port := s.listener.Addr().(*net.TCPAddr).Port
	r.mu.Lock()
	r.places[id] = s
	r.mu.Unlock()
	s.epoch, err = s.zk.RegisterBroker(context.Background(), zkstore.BrokerInfo{JMXPort: -1, Broker: model.Broker{ID: id,
		Endpoints: []model.Endpoint{{Listener: "PLAINTEXT", Host: "127.0.0.1", Port: int32(port)}}}})
	require.NoError(r.t, err)
	r.mu.Lock()
	r.epochs[int64(s.epoch)] = 101 + int64(len(r.epochs))
	r.mu.Unlock()
}

func (r *recorder) down(id model.BrokerID) {
	r.places[id].zk.Close()
	r.places[id].listener.Close()
}

// serve notes requests and answers them without error.
func (s *standIn) serve(conn net.Conn) {
	defer conn.Close()
	for {
		var size [4]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(conn, frame); err != nil {
			return
		}
		header, body, err := protocol.ParseHeader(frame)
		if err != nil {
			s.t.Errorf("header: %v", err)
			return
		}
		req := kmsg.RequestForKey(header.Key)
		req.SetVersion(header.Version)
		if err := req.ReadFrom(body); err != nil {
			s.t.Errorf("body of %d: %v", header.Key, err)
			return
		}
		resp := allIsWell(req)
		resp.SetVersion(header.Version)
		answer := resp.AppendTo(protocol.AppendResponseHeader(nil, header))
		s.note(req)
		if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...)); err != nil {
			return
		}
	}
}

func allIsWell(req kmsg.Request) kmsg.Response {
	switch q := req.(type) {
	case *kmsg.LeaderAndISRRequest:
		resp := q.ResponseKind().(*kmsg.LeaderAndISRResponse)
		for _, p := range q.PartitionStates {
			resp.Partitions = append(resp.Partitions, kmsg.LeaderAndISRResponseTopicPartition{Topic: p.Topic, Partition: p.Partition})
		}
		for _, t := range q.TopicStates {
			one := kmsg.LeaderAndISRResponseTopic{TopicID: t.TopicID}
			for _, p := range t.PartitionStates {
				resp.Partitions = append(resp.Partitions, kmsg.LeaderAndISRResponseTopicPartition{Topic: t.Topic, Partition: p.Partition})
				one.Partitions = append(one.Partitions, kmsg.LeaderAndISRResponseTopicPartition{Partition: p.Partition})
			}
			resp.Topics = append(resp.Topics, one)
		}
		return resp
	case *kmsg.StopReplicaRequest:
		resp := q.ResponseKind().(*kmsg.StopReplicaResponse)
		for _, t := range q.Topics {
			if q.Version == 0 {
				resp.Partitions = append(resp.Partitions, kmsg.StopReplicaResponsePartition{Topic: t.Topic, Partition: t.Partition})
			}
			for _, p := range t.Partitions {
				resp.Partitions = append(resp.Partitions, kmsg.StopReplicaResponsePartition{Topic: t.Topic, Partition: p})
			}
			for _, p := range t.PartitionStates {
				resp.Partitions = append(resp.Partitions, kmsg.StopReplicaResponsePartition{Topic: t.Topic, Partition: p.Partition})
			}
		}
		return resp
	}
	return req.ResponseKind()
}

// note writes a request down with the names of the script: epochs of brokers
// and ids of topics by their order, hosts by the broker, lists in order.
func (s *standIn) note(req kmsg.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latest = time.Now()
	switch q := req.(type) {
	case *kmsg.LeaderAndISRRequest:
		q.BrokerEpoch = s.epochs[q.BrokerEpoch]
		slices.SortFunc(q.PartitionStates, byPartitionOfLeaderAndISR)
		slices.SortFunc(q.TopicStates, func(a, b kmsg.LeaderAndISRRequestTopicState) int { return cmp.Compare(a.Topic, b.Topic) })
		for i := range q.TopicStates {
			q.TopicStates[i].TopicID = s.topicID(q.TopicStates[i].TopicID)
			slices.SortFunc(q.TopicStates[i].PartitionStates, byPartitionOfLeaderAndISR)
		}
		slices.SortFunc(q.LiveLeaders, func(a, b kmsg.LeaderAndISRRequestLiveLeader) int { return cmp.Compare(a.BrokerID, b.BrokerID) })
		for i := range q.LiveLeaders {
			q.LiveLeaders[i].Host, q.LiveLeaders[i].Port = "h"+strconv.Itoa(int(q.LiveLeaders[i].BrokerID)), 9092
		}
	case *kmsg.UpdateMetadataRequest:
		q.BrokerEpoch = s.epochs[q.BrokerEpoch]
		slices.SortFunc(q.PartitionStates, byPartitionOfUpdateMetadata)
		slices.SortFunc(q.TopicStates, func(a, b kmsg.UpdateMetadataRequestTopicState) int { return cmp.Compare(a.Topic, b.Topic) })
		for i := range q.TopicStates {
			q.TopicStates[i].TopicID = s.topicID(q.TopicStates[i].TopicID)
			slices.SortFunc(q.TopicStates[i].PartitionStates, byPartitionOfUpdateMetadata)
		}
		slices.SortFunc(q.LiveBrokers, func(a, b kmsg.UpdateMetadataRequestLiveBroker) int { return cmp.Compare(a.ID, b.ID) })
		for i := range q.LiveBrokers {
			host := "h" + strconv.Itoa(int(q.LiveBrokers[i].ID))
			if q.Version == 0 {
				q.LiveBrokers[i].Host, q.LiveBrokers[i].Port = host, 9092
			}
			for j := range q.LiveBrokers[i].Endpoints {
				q.LiveBrokers[i].Endpoints[j].Host, q.LiveBrokers[i].Endpoints[j].Port = host, 9092
			}
		}
	case *kmsg.StopReplicaRequest:
		q.BrokerEpoch = s.epochs[q.BrokerEpoch]
		slices.SortFunc(q.Topics, func(a, b kmsg.StopReplicaRequestTopic) int {
			return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
		})
		for i := range q.Topics {
			slices.Sort(q.Topics[i].Partitions)
			slices.SortFunc(q.Topics[i].PartitionStates, func(a, b kmsg.StopReplicaRequestTopicPartitionState) int {
				return cmp.Compare(a.Partition, b.Partition)
			})
		}
	default:
		s.t.Errorf("broker %d got a request of key %d", s.id, req.Key())
	}
	s.got = append(s.got, fmt.Sprintf("%d %s %s", s.id, kmsg.NameForKey(req.Key()), brief(s.t, req)))
}

func byPartitionOfLeaderAndISR(a, b kmsg.LeaderAndISRRequestTopicPartition) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
}

func byPartitionOfUpdateMetadata(a, b kmsg.UpdateMetadataRequestTopicPartition) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
}

// topicID numbers ids by when they came up first.
func (r *recorder) topicID(id [16]byte) [16]byte {
	if id == [16]byte{} {
		return id
	}
	if r.topics[id] == 0 {
		r.topics[id] = byte(len(r.topics) + 1)
	}
	return [16]byte{15: r.topics[id]}
}

// brief is a request as JSON without fields that are zero.
func brief(t *testing.T, req kmsg.Request) string {
	full, err := json.Marshal(req)
	require.NoError(t, err)
	var fields any
	decoder := json.NewDecoder(bytes.NewReader(full))
	decoder.UseNumber()
	require.NoError(t, decoder.Decode(&fields))
	short, err := json.Marshal(withoutZeros(fields))
	require.NoError(t, err)
	return string(short)
}

func withoutZeros(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			if value = withoutZeros(value); value == nil {
				delete(v, name)
			} else {
				v[name] = value
			}
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		if len(v) == 0 {
			return nil
		}
		for i, element := range v {
			if kept := withoutZeros(element); kept != nil {
				v[i] = kept // a zero among others stays
			}
		}
	case json.Number:
		if v == "0" {
			return nil
		}
	case string:
		if v == "" {
			return nil
		}
	case bool:
		if !v {
			return nil
		}
	}
	return v
}

// settle waits until the controller has nothing more to say and returns what
// came since the last time, by broker. A question that goes through its queue
// of events stands behind what watches have brought until then.
func (r *recorder) settle() []string {
	const quiet = 400 * time.Millisecond
	for range 2 {
		began := time.Now()
		eventually(r.t, 20*time.Second, "the controller is at rest", func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return time.Since(began) > quiet && time.Since(r.latest) > quiet
		})
		eventually(r.t, 20*time.Second, "the controller answers", func() bool {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			resp, err := kmsg.NewPtrListPartitionReassignmentsRequest().RequestWith(ctx, r.client.Broker(0))
			return err == nil && resp.ErrorCode == 0
		})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for id := range model.BrokerID(10) {
		if s := r.places[id]; s != nil {
			all = append(all, s.got...)
			s.got = nil
		}
	}
	return all
}

// run makes an event happen. The commands are those of the scripts of
// pkg/controller.
func (r *recorder) run(words []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	args := words[1:]
	switch words[0] {
	case "up":
		r.up(r.id(args[0]))
	case "down":
		r.down(r.id(args[0]))
	case "elect": // resigns, and is elected again
		require.NoError(r.t, r.zk.ResignController(ctx, zkstore.NoFence))
	case "topic":
		r.writeTopic(ctx, args)
	case "delete":
		require.NoError(r.t, r.zk.MarkTopicForDeletion(ctx, args[0]))
	case "isr":
		r.proposeISR(ctx, args)
	case "shutdown":
		req := kmsg.NewPtrControlledShutdownRequest()
		req.BrokerID, req.BrokerEpoch = int32(r.id(args[0])), int64(r.places[r.id(args[0])].epoch)
		resp, err := req.RequestWith(ctx, r.client.Broker(0))
		require.NoError(r.t, err)
		require.Zero(r.t, resp.ErrorCode)
	case "reassign":
		r.reassign(ctx, args)
	case "reassignnode":
		targets := map[model.TopicPartition][]model.BrokerID{}
		for _, arg := range args {
			name, replicas, _ := strings.Cut(arg, "=")
			targets[r.tp(name)] = r.ids(replicas)
		}
		require.NoError(r.t, r.zk.CreateReassignPartitions(ctx, targets))
	case "preferred":
		var tps []model.TopicPartition
		for _, arg := range args {
			tps = append(tps, r.tp(arg))
		}
		require.NoError(r.t, r.zk.CreatePreferredElection(ctx, tps))
	case "electleaders":
		r.electLeaders(ctx, args)
	case "state":
		r.leaderWrites(ctx, args)
	case "isrchange":
		var tps []model.TopicPartition
		for _, arg := range args {
			tps = append(tps, r.tp(arg))
		}
		err := r.zk.NotifyIsrChange(ctx, tps)
		require.NoError(r.t, err)
	default:
		require.Fail(r.t, "no such command", "%v", words)
	}
}

func (r *recorder) writeTopic(ctx context.Context, args []string) {
	a := zkstore.TopicAssignment{Partitions: map[int32]zkstore.ReplicaAssignment{}}
	for _, arg := range args[1:] {
		number, replicas, _ := strings.Cut(arg, "=")
		a.Partitions[int32(r.id(number))] = zkstore.ReplicaAssignment{Replicas: r.ids(replicas)}
	}
	existing, found, err := r.zk.TopicAssignment(ctx, args[0])
	require.NoError(r.t, err)
	if found {
		a.ID = existing.ID
		require.NoError(r.t, r.zk.SetTopicAssignment(ctx, args[0], a, zkstore.NoFence))
		return
	}
	require.NoError(r.t, r.zk.CreateTopic(ctx, args[0], a, nil))
}

// proposeISR is "isr tp 1,2": the leader asks for an ISR by AlterIsr.
func (r *recorder) proposeISR(ctx context.Context, args []string) {
	tp := r.tp(args[0])
	states, err := r.zk.PartitionStates(ctx, []model.TopicPartition{tp})
	require.NoError(r.t, err)
	now := states[tp]
	p := kmsg.NewAlterPartitionRequestTopicPartition()
	p.Partition, p.LeaderEpoch, p.PartitionEpoch = tp.Partition, int32(now.LeaderEpoch), int32(now.ZkVersion)
	for _, id := range r.ids(args[1]) {
		p.NewISR = append(p.NewISR, int32(id))
	}
	topic := kmsg.NewAlterPartitionRequestTopic()
	topic.Topic, topic.Partitions = tp.Topic, append(topic.Partitions, p)
	req := kmsg.NewPtrAlterPartitionRequest()
	require.NotNil(r.t, r.places[now.Leader], "%s is led by %d", tp, now.Leader)
	req.BrokerID, req.BrokerEpoch, req.Topics = int32(now.Leader), int64(r.places[now.Leader].epoch), append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, r.client.Broker(0))
	require.NoError(r.t, err)
	require.Zero(r.t, resp.ErrorCode)
	require.Zero(r.t, resp.Topics[0].Partitions[0].ErrorCode, "%s", tp)
}

func (r *recorder) reassign(ctx context.Context, args []string) {
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	for _, arg := range args {
		name, replicas, _ := strings.Cut(arg, "=")
		p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
		p.Partition = r.tp(name).Partition
		if replicas != "cancel" {
			for _, id := range r.ids(replicas) {
				p.Replicas = append(p.Replicas, int32(id))
			}
		}
		topic := kmsg.NewAlterPartitionAssignmentsRequestTopic()
		topic.Topic, topic.Partitions = r.tp(name).Topic, append(topic.Partitions, p)
		req.Topics = append(req.Topics, topic)
	}
	resp, err := req.RequestWith(ctx, r.client.Broker(0))
	require.NoError(r.t, err)
	require.Zero(r.t, resp.ErrorCode)
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			require.Zero(r.t, p.ErrorCode, "%s-%d: %v", topic.Topic, p.Partition, p.ErrorMessage)
		}
	}
}

// electLeaders is "electleaders preferred|unclean tp...". Its answer may have
// to wait for metadata that the stand-ins never show.
func (r *recorder) electLeaders(ctx context.Context, args []string) {
	req := kmsg.NewPtrElectLeadersRequest()
	if args[0] == "unclean" {
		req.ElectionType = 1
	}
	req.TimeoutMillis = 5000
	for _, arg := range args[1:] {
		topic := kmsg.NewElectLeadersRequestTopic()
		topic.Topic, topic.Partitions = r.tp(arg).Topic, []int32{r.tp(arg).Partition}
		req.Topics = append(req.Topics, topic)
	}
	resp, err := req.RequestWith(ctx, r.client.Broker(0))
	require.NoError(r.t, err)
	require.Zero(r.t, resp.ErrorCode)
}

// leaderWrites is "state tp leader isr": as a leader of an older protocol
// writes its ISR itself.
func (r *recorder) leaderWrites(ctx context.Context, args []string) {
	tp := r.tp(args[0])
	states, err := r.zk.PartitionStates(ctx, []model.TopicPartition{tp})
	require.NoError(r.t, err)
	s := states[tp]
	s.Leader, s.ISR = r.id(args[1]), r.ids(args[2])
	_, failed, err := r.zk.UpdatePartitionStates(ctx, map[model.TopicPartition]zkstore.PartitionState{tp: s}, zkstore.NoFence)
	require.NoError(r.t, err)
	require.Empty(r.t, failed)
}

func (r *recorder) id(text string) model.BrokerID {
	n, err := strconv.Atoi(text)
	require.NoError(r.t, err)
	return model.BrokerID(n)
}

func (r *recorder) ids(text string) []model.BrokerID {
	var list []model.BrokerID
	for _, one := range strings.Split(text, ",") {
		list = append(list, r.id(one))
	}
	return list
}

func (r *recorder) tp(text string) model.TopicPartition {
	tp, err := model.ParseTopicPartition(text)
	require.NoError(r.t, err)
	return tp
}

// TestJavasToolReassigns lets kafka-reassign-partitions of 2.8.2 move
// partitions of our brokers, through the controller and through ZooKeeper.
func TestJavasToolReassigns(t *testing.T) {
	zk := zooKeeper(t, gregor, t.TempDir(), 0)
	var brokers []*server
	for id := range 3 {
		brokers = append(brokers, broker(t, gregor, id, zk.Address, t.TempDir(), nil))
	}
	at := brokers[1].Address
	got := script(t, "", "kafka-topics.sh", "--bootstrap-server", at, "--create", "--topic", "moved", "--replica-assignment", "0:1,1:2")
	require.Zero(t, got.Status, got.Stderr)
	got = script(t, lines(1000, "line %d"), "kafka-console-producer.sh", "--bootstrap-server", at, "--topic", "moved")
	require.Zero(t, got.Status, got.Stderr)
	plan := func(replicas ...string) string {
		path := filepath.Join(t.TempDir(), "plan.json")
		var parts []string
		for i, list := range replicas {
			parts = append(parts, fmt.Sprintf(`{"topic":"moved","partition":%d,"replicas":[%s]}`, i, list))
		}
		require.NoError(t, os.WriteFile(path, []byte(`{"version":1,"partitions":[`+strings.Join(parts, ",")+`]}`), 0o644))
		return path
	}
	tool := func(args ...string) result {
		t.Helper()
		got := java(t, kafka28, "", "kafka.admin.ReassignPartitionsCommand", args...)
		require.Zero(t, got.Status, "%s%s", got.Stdout, got.Stderr)
		return got
	}
	described := func(want ...string) {
		t.Helper()
		eventually(t, 20*time.Second, "the partitions are where they should be", func() bool {
			text := script(t, "", "kafka-topics.sh", "--bootstrap-server", at, "--describe", "--topic", "moved").Stdout
			for _, one := range want {
				if !strings.Contains(text, one) {
					return false
				}
			}
			return true
		})
	}

	first := plan("2,0", "0,2")
	require.Contains(t, tool("--bootstrap-server", at, "--execute", "--reassignment-json-file", first).Stdout, "Successfully started partition reassignments for moved-0,moved-1")
	described("Replicas: 2,0\tIsr: ", "Replicas: 0,2\tIsr: ")
	require.Contains(t, tool("--bootstrap-server", at, "--verify", "--reassignment-json-file", first).Stdout, "Reassignment of partition moved-0 is complete.")
	require.Contains(t, tool("--bootstrap-server", at, "--list").Stdout, "No partition reassignments found.")

	second := plan("1", "1,0")
	require.Contains(t, tool("--zookeeper", zk.Address, "--execute", "--reassignment-json-file", second).Stdout, "Successfully started partition reassignments for moved-0,moved-1")
	described("Replicas: 1\tIsr: 1", "Replicas: 1,0\tIsr: ")
	require.Contains(t, tool("--zookeeper", zk.Address, "--verify", "--reassignment-json-file", second).Stdout, "Reassignment of partition moved-1 is complete.")

	// One that cannot end, since its broker is gone, and is given up.
	brokers[2].kill()
	third := plan("1,2", "1,0")
	eventually(t, 20*time.Second, "the dead broker is noticed", func() bool {
		return strings.Contains(script(t, "", "zookeeper-shell.sh", zk.Address, "ls", "/brokers/ids").Stdout, "[0, 1]")
	})
	got = java(t, kafka28, "", "kafka.admin.ReassignPartitionsCommand", "--bootstrap-server", at, "--execute", "--reassignment-json-file", third)
	require.NotZero(t, got.Status)
	require.Contains(t, got.Stdout+got.Stderr, "Unknown broker id 2")
	require.Contains(t, tool("--bootstrap-server", at, "--cancel", "--preserve-throttles", "--reassignment-json-file", third).Stdout, "None of the specified partition reassignments are active.")
	got = script(t, "", "kafka-console-consumer.sh", "--bootstrap-server", at, "--topic", "moved", "--from-beginning", "--max-messages", "1000", "--timeout-ms", "20000")
	require.Len(t, strings.Split(strings.TrimSpace(got.Stdout), "\n"), 1000)
}
