package api

import (
	"context"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/admin"
	"gregor/pkg/kerr"
	"gregor/pkg/metadata"
	"gregor/pkg/model"
	"gregor/pkg/wire"
)

// Metadata (key 3), versions 0 to 11: brokers, topics, partitions and their
// leaders.
//
//	0   an empty list of topics asks for all; replicas that are down are left out
//	1   null asks for all, an empty list for none; + controller, racks, internal topics
//	2   + cluster id
//	3   + throttle time
//	4   + whether missing topics may be created
//	5   + offline replicas
//	6   LISTENER_NOT_FOUND when the leader lacks the client's listener
//	7   + leader epochs
//	8   + authorized operations; of the cluster only up to version 10
//	9   flexible
//	10  + topic ids in the answer; asking by id is refused
//
// Endpoints are those of the listener that the request came in on. A missing
// topic is created if that is allowed, and answered LEADER_NOT_AVAILABLE, upon
// which clients ask again. Before a controller has spoken to this broker,
// missing topics are answered the same, for nobody knows what exists.
func (c *Cluster) metadata(ctx context.Context, r *wire.Request, req *kmsg.MetadataRequest) kmsg.Response {
	resp := kmsg.NewPtrMetadataResponse()
	resp.ControllerID = -1
	if r.Version >= 10 && slices.ContainsFunc(req.Topics, func(t kmsg.MetadataRequestTopic) bool { return t.Topic == nil || t.TopicID != [16]byte{} }) {
		return refuseTopicIDs(resp, req)
	}
	snapshot := c.Metadata.Snapshot()
	clusterID := snapshot.ClusterID()
	resp.ClusterID = &clusterID
	resp.ControllerID = int32(snapshot.ControllerID())
	resp.Brokers = c.metadataBrokers(r, snapshot)
	view := topicView{snapshot, r.Peer.Listener, r.Version}
	if req.Topics == nil || r.Version == 0 && len(req.Topics) == 0 {
		for _, name := range snapshot.Topics() {
			t, _ := snapshot.Topic(name)
			resp.Topics = append(resp.Topics, view.topic(t))
		}
	} else {
		resp.Topics = c.namedTopics(ctx, r, req, view)
	}
	if r.Version >= 8 && req.IncludeTopicAuthorizedOperations {
		for i := range resp.Topics {
			resp.Topics[i].AuthorizedOperations = allTopicOperations
		}
	}
	if req.IncludeClusterAuthorizedOperations {
		resp.AuthorizedOperations = allClusterOperations
	}
	return resp
}

// refuseTopicIDs answers a request that names topics by id.
func refuseTopicIDs(resp *kmsg.MetadataResponse, req *kmsg.MetadataRequest) kmsg.Response {
	for _, t := range req.Topics {
		name := ""
		if t.Topic != nil {
			name = *t.Topic
		}
		failed := failedTopic(name, kerr.InvalidRequest)
		failed.TopicID = t.TopicID
		resp.Topics = append(resp.Topics, failed)
	}
	return resp
}

// metadataBrokers lists the live brokers that have the client's listener.
func (c *Cluster) metadataBrokers(r *wire.Request, snapshot *metadata.Snapshot) []kmsg.MetadataResponseBroker {
	var brokers []kmsg.MetadataResponseBroker
	for _, b := range snapshot.Brokers() {
		e, ok := b.Endpoint(r.Peer.Listener)
		if !ok {
			continue
		}
		broker := kmsg.NewMetadataResponseBroker()
		broker.NodeID, broker.Host, broker.Port, broker.Rack = int32(b.ID), e.Host, e.Port, b.Rack
		brokers = append(brokers, broker)
		c.warnAboutLoopback(r, e)
	}
	return brokers
}

// warnAboutLoopback says, once for each client address, that a client of
// another machine has been sent to itself.
func (c *Cluster) warnAboutLoopback(r *wire.Request, e model.Endpoint) {
	if !isLoopback(e.Host) || isLoopback(r.Peer.Host) || ownAddress(r.Peer) || !c.remote.due(r.Peer.Host) {
		return
	}
	c.log.Warnf("Client %s at %s was told to connect to %s, which is its own machine: set advertised.listeners to an address that it can reach",
		r.ClientIDOrEmpty(), r.Peer.Host, e.Address())
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// ownAddress reports whether the peer is on this machine: it then reached us
// under the same address as its own.
func ownAddress(p *wire.Peer) bool {
	local, _, _ := strings.Cut(p.ConnectionID, "-")
	host, _, err := net.SplitHostPort(local)
	return err == nil && host == p.Host
}

// namedTopics answers a request for certain topics, each once, creating those
// that are missing if it may.
func (c *Cluster) namedTopics(ctx context.Context, r *wire.Request, req *kmsg.MetadataRequest, view topicView) []kmsg.MetadataResponseTopic {
	answers := make([]kmsg.MetadataResponseTopic, 0, len(req.Topics))
	seen := make(map[string]bool, len(req.Topics))
	var missing []string
	for _, asked := range req.Topics {
		if asked.Topic == nil || seen[*asked.Topic] {
			continue
		}
		seen[*asked.Topic] = true
		if t, ok := view.snapshot.Topic(*asked.Topic); ok {
			answers = append(answers, view.topic(t))
		} else {
			missing = append(missing, *asked.Topic)
		}
	}
	if len(missing) == 0 {
		return answers
	}
	create := (req.AllowAutoTopicCreation || r.Version < 4) && c.AutoCreateTopics()
	for i, err := range c.missingTopics(ctx, r, view.snapshot, missing, create) {
		answers = append(answers, failedTopic(missing[i], err))
	}
	return answers
}

// missingTopics says what to answer for topics that are not there.
func (c *Cluster) missingTopics(ctx context.Context, r *wire.Request, snapshot *metadata.Snapshot, topics []string, create bool) []error {
	errs := make([]error, len(topics))
	switch {
	case !snapshot.Told():
		for i, topic := range topics {
			if errs[i] = admin.ValidateTopicName(topic); errs[i] == nil {
				errs[i] = kerr.LeaderNotAvailable
			}
		}
	case create:
		errs = c.Topics.AutoCreate(ctx, topics)
		for i, topic := range topics {
			if kerr.Of(errs[i]) == kerr.LeaderNotAvailable {
				c.reportAutoCreation(r, snapshot, topic)
			}
		}
	default:
		for i, topic := range topics {
			if errs[i] = admin.ValidateTopicName(topic); errs[i] == nil {
				errs[i] = kerr.UnknownTopicOrPartition
			}
		}
	}
	return errs
}

// reportAutoCreation says who made a topic come into being, and that it came
// back after somebody had deleted it. Until the topic has a leader clients ask
// again and again: that is mentioned once.
func (c *Cluster) reportAutoCreation(r *wire.Request, snapshot *metadata.Snapshot, topic string) {
	at, back := snapshot.DeletedAt(topic)
	matter := topic
	if back {
		matter += " deleted " + at.String()
	}
	if !c.made.due(matter) {
		return
	}
	if back {
		c.log.Warnf("auto-created topic %s for client %s from %s (Metadata v%d), which was deleted %s ago",
			topic, r.ClientIDOrEmpty(), r.Peer.Host, r.Version, time.Since(at).Round(time.Second))
		return
	}
	c.log.Infof("auto-created topic %s for client %s from %s (Metadata v%d)", topic, r.ClientIDOrEmpty(), r.Peer.Host, r.Version)
}

// failedTopic is a topic without partitions.
func failedTopic(name string, err error) kmsg.MetadataResponseTopic {
	t := kmsg.NewMetadataResponseTopic()
	t.Topic = &name
	t.ErrorCode = kerr.Code(err)
	t.IsInternal = model.IsInternalTopic(name)
	t.AuthorizedOperations = notAskedOperations
	return t
}

// topicView shows topics as a client of a listener and a version sees them.
type topicView struct {
	snapshot *metadata.Snapshot
	listener string
	version  int16
}

func (v topicView) topic(t *metadata.Topic) kmsg.MetadataResponseTopic {
	answer := kmsg.NewMetadataResponseTopic()
	answer.Topic = &t.Name
	answer.TopicID = t.ID
	answer.IsInternal = model.IsInternalTopic(t.Name)
	answer.AuthorizedOperations = notAskedOperations
	answer.Partitions = make([]kmsg.MetadataResponseTopicPartition, 0, len(t.Partitions))
	for i := range t.Partitions {
		answer.Partitions = append(answer.Partitions, v.partition(&t.Partitions[i]))
	}
	return answer
}

func (v topicView) partition(p *metadata.Partition) kmsg.MetadataResponseTopicPartition {
	answer := kmsg.NewMetadataResponseTopicPartition()
	answer.Partition = p.Index
	answer.Leader = int32(p.Leader)
	answer.LeaderEpoch = int32(p.LeaderEpoch)
	answer.Replicas = v.reachable(p.Replicas)
	answer.ISR = v.reachable(p.ISR)
	answer.OfflineReplicas = numbers(p.OfflineReplicas)
	leader, alive := v.snapshot.Broker(p.Leader)
	_, listens := leader.Endpoint(v.listener)
	switch {
	case alive && !listens && v.version >= 6:
		answer.ErrorCode, answer.Leader = kerr.ListenerNotFound.Code, -1
	case !listens:
		answer.ErrorCode, answer.Leader = kerr.LeaderNotAvailable.Code, -1
	case len(answer.Replicas) < len(p.Replicas), len(answer.ISR) < len(p.ISR):
		answer.ErrorCode = kerr.ReplicaNotAvailable.Code
	}
	return answer
}

// reachable lists the brokers; for version 0 only those that a client can
// connect to.
func (v topicView) reachable(ids []model.BrokerID) []int32 {
	list := numbers(ids)
	if v.version > 0 {
		return list
	}
	return slices.DeleteFunc(list, func(id int32) bool {
		b, _ := v.snapshot.Broker(model.BrokerID(id))
		_, listens := b.Endpoint(v.listener)
		return !listens
	})
}

func numbers(ids []model.BrokerID) []int32 {
	list := make([]int32, len(ids))
	for i, id := range ids {
		list[i] = int32(id)
	}
	return list
}
