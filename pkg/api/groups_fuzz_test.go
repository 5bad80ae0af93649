package api

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/coordinator"
	"gregor/pkg/group"
	"gregor/pkg/kerr"
	"gregor/pkg/logging"
	"gregor/pkg/protocol"
	"gregor/pkg/wire"
)

// refusingLog keeps nothing, so that a fuzzing run does not grow.
type refusingLog struct{}

func (refusingLog) Append(int32, []byte, int16) (coordinator.Appended, error) {
	return coordinator.Appended{}, kerr.NotLeaderOrFollower
}
func (refusingLog) Read(context.Context, int32, func([]byte) error) error { return nil }

// FuzzGroupRequests sends any body to each API of groups: it is answered in a
// form that can be read, or the connection is closed.
func FuzzGroupRequests(f *testing.F) {
	keys := []int16{8, 9, 10, 11, 12, 13, 14, 15, 16, 42, 47}
	for i, req := range []kmsg.Request{
		commitOf("g", "", -1, map[int32]int64{0: 1}), kmsg.NewPtrOffsetFetchRequest(), kmsg.NewPtrFindCoordinatorRequest(),
		joinOf("g", ""), kmsg.NewPtrHeartbeatRequest(), kmsg.NewPtrLeaveGroupRequest(), kmsg.NewPtrSyncGroupRequest(),
		kmsg.NewPtrDescribeGroupsRequest(), kmsg.NewPtrListGroupsRequest(), kmsg.NewPtrDeleteGroupsRequest(), kmsg.NewPtrOffsetDeleteRequest(),
	} {
		api, _ := protocol.Lookup(keys[i])
		for _, version := range []int16{0, api.Max} {
			req.SetVersion(version)
			f.Add(uint8(i), uint8(version), req.AppendTo(nil))
		}
	}
	config := group.DefaultConfig()
	config.Log = refusingLog{}
	c := group.New(config)
	c.Start(1)
	c.OnElection(0, 0)
	f.Cleanup(func() {
		if err := c.Shutdown(); err != nil {
			f.Error(err)
		}
	})
	cluster := &groupCluster{topics: map[string]int32{"t": 2, group.Topic: 1}, zookeeper: map[string]int64{}}
	r := NewRouter()
	(&Groups{Coordinator: c, Cluster: cluster, Topics: cluster, Consumers: cluster, StaticMembers: true,
		Log: logging.Discard().Logger("kafka.server.KafkaApis")}).Register(r)
	f.Fuzz(func(t *testing.T, which, version uint8, body []byte) {
		api, _ := protocol.Lookup(keys[int(which)%len(keys)])
		v := int16(version) % (api.Max + 1)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		a := r.Answer(ctx, &wire.Request{Header: wire.Header{Key: api.Key, Version: v}, Body: body, Peer: &wire.Peer{Host: "127.0.0.1", Listener: "PLAINTEXT"}})
		if a.Close {
			return
		}
		resp := kmsg.ResponseForKey(api.Key)
		resp.SetVersion(v)
		if err := resp.ReadFrom(a.Chunks[0].Bytes); err != nil {
			t.Fatalf("%s v%d: %v", api.Name, v, err)
		}
	})
}
