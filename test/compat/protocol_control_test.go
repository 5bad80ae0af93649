//go:build compat

package compat

import (
	"fmt"
	"net"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func handshakeScript(c *conv) {
	for _, software := range [][2]string{{"x", "1.0"}, {"", ""}, {"x", " "}, {"-x", "1"}, {"x-", "1"}, {"a.b-c", "1.2-SNAPSHOT"}, {"a b", "1"}, {"ä", "1"}} {
		c.each(fmt.Sprintf("software %q", software), func(int16) kmsg.Request {
			req := kmsg.NewPtrApiVersionsRequest()
			req.ClientSoftwareName, req.ClientSoftwareVersion = software[0], software[1]
			return req
		})
	}
	for _, mechanism := range []string{"PLAIN", "", "NONSENSE"} {
		c.each("mechanism "+mechanism, func(int16) kmsg.Request {
			req := kmsg.NewPtrSASLHandshakeRequest()
			req.Mechanism = mechanism
			return req
		})
	}
	for _, token := range [][]byte{nil, {}, {0, 'a', 0, 'b'}} {
		for version := int16(0); version <= 2; version++ {
			req := kmsg.NewPtrSASLAuthenticateRequest()
			req.SASLAuthBytes = token
			ask[kmsg.Response](c, fmt.Sprintf("token %v", token), version, req)
		}
	}
	for _, of := range []struct {
		what       string
		topic      string
		partitions []int32
	}{{"all", "", nil}, {"plain", "plain", []int32{0}}, {"unknown topic", "nowhere", []int32{0}}, {"unknown partition", "plain", []int32{7, -1}}, {"no partitions", "plain", []int32{}}} {
		c.each("log directories, "+of.what, func(int16) kmsg.Request {
			req := kmsg.NewPtrDescribeLogDirsRequest()
			if of.topic != "" {
				req.Topics = []kmsg.DescribeLogDirsRequestTopic{{Topic: of.topic, Partitions: of.partitions}}
			} else {
				req.Topics = []kmsg.DescribeLogDirsRequestTopic{}
			}
			return req
		})
	}
}

// controlScript speaks as a controller would. It is the last: some of it
// changes what the broker believes.
func controlScript(c *conv) {
	c.shutdowns()
	c.leaderships()
	c.stops()
	c.updates()
}

func (c *conv) shutdowns() {
	for _, s := range []struct {
		what  string
		id    int32
		epoch int64
	}{{"unknown broker", 99, -1}, {"negative broker", -1, -1}, {"stale epoch", 0, 0}, {"unknown broker, epoch", 99, 5}} {
		c.each(s.what, func(int16) kmsg.Request {
			req := kmsg.NewPtrControlledShutdownRequest()
			req.BrokerID, req.BrokerEpoch = s.id, s.epoch
			return req
		})
	}
}

func (c *conv) leaderships() {
	lead := func(what string, change func(*kmsg.LeaderAndISRRequest, *kmsg.LeaderAndISRRequestTopicPartition)) {
		c.each(what, func(version int16) kmsg.Request {
			req := kmsg.NewPtrLeaderAndISRRequest()
			req.ControllerID, req.ControllerEpoch, req.BrokerEpoch = 0, 1, -1
			p := kmsg.NewLeaderAndISRRequestTopicPartition()
			p.Topic, p.Partition, p.ControllerEpoch, p.Leader, p.ISR, p.Replicas = "plain", 0, 1, 0, []int32{0}, []int32{0}
			change(req, &p)
			if version < 2 {
				req.PartitionStates = append(req.PartitionStates, p)
			} else {
				req.TopicStates = append(req.TopicStates, kmsg.LeaderAndISRRequestTopicState{Topic: p.Topic, PartitionStates: []kmsg.LeaderAndISRRequestTopicPartition{p}})
			}
			return req
		})
	}
	type (
		request   = kmsg.LeaderAndISRRequest
		partition = kmsg.LeaderAndISRRequestTopicPartition
	)
	lead("stale controller epoch", func(r *request, _ *partition) { r.ControllerEpoch = 0 })
	lead("negative controller epoch", func(r *request, _ *partition) { r.ControllerEpoch = -1 })
	lead("stale broker epoch", func(r *request, _ *partition) { r.BrokerEpoch = 0 })
	lead("same leader epoch", func(*request, *partition) {})
	lead("older leader epoch", func(_ *request, p *partition) { p.LeaderEpoch = -1 })
	lead("not a replica", func(_ *request, p *partition) {
		p.Topic, p.Leader, p.ISR, p.Replicas = "elsewhere", 5, []int32{5}, []int32{5}
	})
	lead("leader is not known", func(_ *request, p *partition) {
		p.Topic, p.Leader, p.ISR, p.Replicas = "led-by-5", 5, []int32{5}, []int32{5, 0}
	})
	lead("no leader", func(_ *request, p *partition) {
		p.Topic, p.Leader, p.ISR, p.Replicas = "leaderless", -1, []int32{}, []int32{0}
	})
	lead("new partition", func(_ *request, p *partition) { p.Topic, p.IsNew = "ghost", true })
	c.each("nothing", func(int16) kmsg.Request {
		req := kmsg.NewPtrLeaderAndISRRequest()
		req.ControllerEpoch, req.BrokerEpoch = 1, -1
		return req
	})
}

func (c *conv) stops() {
	stop := func(what string, topic string, partition, epoch int32, remove bool, change func(*kmsg.StopReplicaRequest)) {
		c.each(what, func(version int16) kmsg.Request {
			req := kmsg.NewPtrStopReplicaRequest()
			req.ControllerEpoch, req.BrokerEpoch, req.DeletePartitions = 1, -1, remove
			t := kmsg.NewStopReplicaRequestTopic()
			t.Topic, t.Partition, t.Partitions = topic, partition, []int32{partition}
			s := kmsg.NewStopReplicaRequestTopicPartitionState()
			s.Partition, s.LeaderEpoch, s.Delete = partition, epoch, remove
			t.PartitionStates = append(t.PartitionStates, s)
			req.Topics = append(req.Topics, t)
			if change != nil {
				change(req)
			}
			return req
		})
	}
	stop("stale controller epoch", "plain", 0, 0, false, func(r *kmsg.StopReplicaRequest) { r.ControllerEpoch = 0 })
	stop("stale broker epoch", "plain", 0, 0, false, func(r *kmsg.StopReplicaRequest) { r.BrokerEpoch = 0 })
	stop("unknown topic", "nowhere", 0, 0, false, nil)
	stop("unknown topic, delete", "nowhere", 0, 0, true, nil)
	stop("negative partition", "plain", -1, 0, false, nil)
	stop("nothing", "plain", -1, 0, false, func(r *kmsg.StopReplicaRequest) { r.Topics = nil })
	c.each("older leader epoch", func(version int16) kmsg.Request {
		if version < 3 {
			return nil // there is none: it would stop
		}
		req := kmsg.NewPtrStopReplicaRequest()
		req.ControllerEpoch, req.BrokerEpoch = 1, -1
		t := kmsg.NewStopReplicaRequestTopic()
		t.Topic = "plain"
		s := kmsg.NewStopReplicaRequestTopicPartitionState()
		s.LeaderEpoch = -1
		t.PartitionStates = append(t.PartitionStates, s)
		req.Topics = append(req.Topics, t)
		return req
	})
	stop("stops", "ghost", 0, -2, true, nil)
	stop("stops again", "ghost", 0, -2, true, nil)
}

func (c *conv) updates() {
	host, port, err := net.SplitHostPort(c.address)
	if err != nil {
		panic(err) // an address of ours
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		panic(err)
	}
	update := func(what string, change func(*kmsg.UpdateMetadataRequest, *kmsg.UpdateMetadataRequestTopicPartition)) {
		c.each(what, func(version int16) kmsg.Request {
			req := kmsg.NewPtrUpdateMetadataRequest()
			req.ControllerEpoch, req.BrokerEpoch = 1, -1
			p := kmsg.NewUpdateMetadataRequestTopicPartition()
			p.Topic, p.ControllerEpoch, p.ISR, p.Replicas = "told", 1, []int32{0, 4}, []int32{0, 4}
			b := kmsg.NewUpdateMetadataRequestLiveBroker()
			b.Host, b.Port = host, int32(number)
			e := kmsg.NewUpdateMetadataRequestLiveBrokerEndpoint()
			e.Host, e.Port, e.ListenerName = host, int32(number), "PLAINTEXT"
			b.Endpoints = append(b.Endpoints, e)
			req.LiveBrokers = append(req.LiveBrokers, b)
			change(req, &p)
			if version < 5 {
				req.PartitionStates = append(req.PartitionStates, p)
			} else {
				req.TopicStates = append(req.TopicStates, kmsg.UpdateMetadataRequestTopicState{Topic: p.Topic, PartitionStates: []kmsg.UpdateMetadataRequestTopicPartition{p}})
			}
			return req
		})
		for version := range c.both(3) {
			req := kmsg.NewPtrMetadataRequest()
			req.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr("told")}}
			if version >= 4 { // older ones would create it
				ask[kmsg.Response](c, "after "+what, version, req)
			}
		}
	}
	type (
		request   = kmsg.UpdateMetadataRequest
		partition = kmsg.UpdateMetadataRequestTopicPartition
	)
	update("stale controller epoch", func(r *request, _ *partition) { r.ControllerEpoch = 0 })
	update("stale broker epoch", func(r *request, _ *partition) { r.BrokerEpoch = 0 })
	update("replica down", func(*request, *partition) {})
	update("leader down", func(_ *request, p *partition) { p.Leader = 4 })
	update("no leader", func(_ *request, p *partition) { p.Leader, p.ISR = -1, []int32{} })
	update("offline replica", func(_ *request, p *partition) { p.OfflineReplicas = []int32{4} })
	update("being deleted", func(_ *request, p *partition) { p.Leader = -2 })
}
