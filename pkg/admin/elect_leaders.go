package admin

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/metadata"
	"gregor/pkg/model"
)

// The kinds of election of ElectLeaders.
const (
	electPreferred = 0
	electUnclean   = 1
)

// ElectLeaders answers a request of any version. It returns when the leaders
// that were elected are in this broker's metadata cache, or the request's
// time is over; of those that are not there then it says so.
func (t *Topics) ElectLeaders(ctx context.Context, req *kmsg.ElectLeadersRequest) *kmsg.ElectLeadersResponse {
	asked := t.partitionsToElect(req)
	outcome := map[model.TopicPartition]error{}
	if req.ElectionType != electPreferred && req.ElectionType != electUnclean {
		for _, tp := range asked {
			outcome[tp] = kerr.UnknownServerError
		}
		resp := electionAnswer(req, asked, outcome)
		resp.ErrorCode = kerr.UnknownServerError.Code
		return resp
	}
	deadline := time.Now().Add(time.Duration(req.TimeoutMillis) * time.Millisecond)
	elected, failed, err := t.Controller.ElectLeaders(ctx, asked, req.ElectionType == electUnclean)
	for _, tp := range asked {
		outcome[tp] = err
	}
	maps.Copy(outcome, failed)
	for tp := range t.awaitElected(ctx, deadline, elected) {
		outcome[tp] = kerr.RequestTimedOut
	}
	if req.Topics == nil {
		asked = slices.DeleteFunc(slices.Clone(asked), func(tp model.TopicPartition) bool { return errors.Is(outcome[tp], kerr.ElectionNotNeeded) })
	}
	return electionAnswer(req, asked, outcome)
}

// partitionsToElect are the partitions of the request, each once; of one that
// names none, all that this broker knows.
func (t *Topics) partitionsToElect(req *kmsg.ElectLeadersRequest) []model.TopicPartition {
	seen := map[model.TopicPartition]bool{}
	if req.Topics == nil {
		s := t.Metadata.Snapshot()
		for _, name := range s.Topics() {
			topic, _ := s.Topic(name)
			for _, p := range topic.Partitions {
				seen[model.TopicPartition{Topic: name, Partition: p.Index}] = true
			}
		}
	}
	for _, topic := range req.Topics {
		for _, p := range topic.Partitions {
			seen[model.TopicPartition{Topic: topic.Topic, Partition: p}] = true
		}
	}
	return slices.SortedFunc(maps.Keys(seen), model.TopicPartition.Compare)
}

// awaitElected waits until the metadata cache shows the leaders and returns
// those that it does not show by the deadline.
func (t *Topics) awaitElected(ctx context.Context, deadline time.Time, elected map[model.TopicPartition]model.BrokerID) map[model.TopicPartition]model.BrokerID {
	missing := maps.Clone(elected)
	if len(missing) == 0 {
		return nil
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	t.Metadata.Await(ctx, func(s *metadata.Snapshot) bool {
		maps.DeleteFunc(missing, func(tp model.TopicPartition, leader model.BrokerID) bool {
			p, ok := s.Partition(tp)
			return ok && p.Leader == leader
		})
		return len(missing) == 0
	})
	return missing
}

func electionAnswer(req *kmsg.ElectLeadersRequest, order []model.TopicPartition, outcome map[model.TopicPartition]error) *kmsg.ElectLeadersResponse {
	resp := kmsg.NewPtrElectLeadersResponse()
	resp.SetVersion(req.GetVersion())
	for _, tp := range order {
		if n := len(resp.Topics); n == 0 || resp.Topics[n-1].Topic != tp.Topic {
			topic := kmsg.NewElectLeadersResponseTopic()
			topic.Topic = tp.Topic
			resp.Topics = append(resp.Topics, topic)
		}
		topic := &resp.Topics[len(resp.Topics)-1]
		one := kmsg.NewElectLeadersResponseTopicPartition()
		one.Partition, one.ErrorCode = tp.Partition, kerr.Code(outcome[tp])
		one.ErrorMessage = electionMessage(outcome[tp])
		topic.Partitions = append(topic.Partitions, one)
	}
	return resp
}

// electionMessage is the text beside the code. Where Kafka does not get as far
// as the partition it has none.
func electionMessage(err error) *string {
	switch {
	case err == error(kerr.NotController), err == error(kerr.RequestTimedOut), kerr.Of(err) == kerr.UnknownServerError:
		return nil
	}
	return kerr.Message(err)
}
