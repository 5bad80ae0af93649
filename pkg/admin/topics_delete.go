package admin

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/metadata"
	"gregor/pkg/model"
)

// DeleteTopics answers a request of any version. It returns when the topics
// have left this broker's metadata cache, or the request's time is over.
func (t *Topics) DeleteTopics(ctx context.Context, req *kmsg.DeleteTopicsRequest) *kmsg.DeleteTopicsResponse {
	resp := kmsg.NewPtrDeleteTopicsResponse()
	resp.SetVersion(req.GetVersion())
	for _, asked := range deletions(req) {
		one := kmsg.NewDeleteTopicsResponseTopic()
		one.Topic, one.TopicID = asked.Topic, asked.TopicID
		resp.Topics = append(resp.Topics, one)
	}
	if err := t.mayDelete(req, resp); err != nil {
		for i := range resp.Topics {
			resp.Topics[i].ErrorCode = kerr.Code(err)
		}
		return resp
	}
	waiting := map[string]int{}
	codes := map[string]int16{}
	for i := range resp.Topics {
		t.deleteOne(ctx, &resp.Topics[i], codes, waiting)
	}
	late := t.await(ctx, req.TimeoutMillis, waiting, func(s *metadata.Snapshot, name string, _ int) bool {
		_, there := s.Topic(name)
		return !there
	})
	for i := range resp.Topics {
		if one := &resp.Topics[i]; one.Topic != nil && late[*one.Topic] && one.ErrorCode == 0 {
			one.ErrorCode = kerr.RequestTimedOut.Code
		}
	}
	return resp
}

// deletions is what a request names: names up to version 5, then names or
// ids.
func deletions(req *kmsg.DeleteTopicsRequest) []kmsg.DeleteTopicsRequestTopic {
	if req.Version >= 6 {
		return req.Topics
	}
	list := make([]kmsg.DeleteTopicsRequestTopic, len(req.TopicNames))
	for i := range req.TopicNames {
		list[i].Topic = &req.TopicNames[i]
	}
	return list
}

// mayDelete finds what is wrong with a request as a whole.
func (t *Topics) mayDelete(req *kmsg.DeleteTopicsRequest, resp *kmsg.DeleteTopicsResponse) error {
	switch {
	case !t.Controller.IsActive():
		return kerr.NotController
	case !t.Config().Bool("delete.topic.enable"):
		if req.Version < 3 {
			return kerr.InvalidRequest
		}
		return kerr.TopicDeletionDisabled
	}
	for _, one := range resp.Topics {
		if one.Topic != nil && one.TopicID != (model.TopicID{}) {
			return kerr.InvalidRequest.With("Topic name and topic ID can not both be specified.")
		}
	}
	return nil
}

func (t *Topics) deleteOne(ctx context.Context, one *kmsg.DeleteTopicsResponseTopic, codes map[string]int16, waiting map[string]int) {
	if one.TopicID != (model.TopicID{}) {
		name, found, err := t.Controller.TopicName(ctx, one.TopicID)
		switch {
		case err != nil:
			one.ErrorCode = kerr.Code(err)
			return
		case !found:
			one.ErrorCode = kerr.UnknownTopicID.Code
			return
		}
		one.Topic = &name
	}
	if one.Topic == nil {
		one.ErrorCode = kerr.TopicAuthorizationFailed.Code // neither id nor name: 2.8 finds nothing that it may tell about
		return
	}
	name := *one.Topic
	if code, twice := codes[name]; twice {
		one.ErrorCode = code
		return
	}
	if _, known := t.Metadata.Snapshot().Topic(name); !known {
		one.ErrorCode = kerr.UnknownTopicOrPartition.Code
		return
	}
	err := t.ZK.DeleteTopic(ctx, name)
	if errors.Is(err, ErrAlreadyMarked) {
		err = nil // waits together with the first
	}
	if err != nil {
		t.log.WithError(err).Errorf("%sError processing delete topic request for topic %s", t.prefix(), name)
	} else {
		waiting[name] = 0
	}
	one.ErrorCode = kerr.Code(err)
	codes[name] = one.ErrorCode
}
