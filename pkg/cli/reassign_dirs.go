package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// Moves between the log directories of a broker: where replicas are, and
// having them moved.

// dirBrokers are the brokers of replicas, sorted.
func dirBrokers(dirs map[replicaOf]string) []model.BrokerID {
	var ids []model.BrokerID
	for r := range dirs {
		ids = append(ids, r.broker)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// logDirs asks brokers where the replicas are that change their directory.
func (r *bootstrapReassign) logDirs(ctx context.Context, p *proposal) (map[replicaOf]dirProgress, error) {
	states := map[replicaOf]dirProgress{}
	for _, id := range dirBrokers(p.dirs) {
		req := kmsg.NewPtrDescribeLogDirsRequest()
		for _, replica := range sortedReplicas(p.dirs) {
			if replica.broker != id {
				continue
			}
			states[replica] = dirProgress{found: true}
			if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != replica.Topic {
				req.Topics = append(req.Topics, kmsg.DescribeLogDirsRequestTopic{Topic: replica.Topic})
			}
			last := &req.Topics[len(req.Topics)-1]
			last.Partitions = append(last.Partitions, replica.Partition)
		}
		resp, err := r.client.call(ctx, "describeReplicaLogDirs", target(id), req)
		if err != nil {
			return nil, execution(err)
		}
		for _, dir := range resp.(*kmsg.DescribeLogDirsResponse).Dirs {
			r.addLogDir(states, id, dir)
		}
	}
	return states, nil
}

func (r *bootstrapReassign) addLogDir(states map[replicaOf]dirProgress, id model.BrokerID, dir kmsg.DescribeLogDirsResponseDir) {
	if dir.ErrorCode != 0 {
		return // an offline directory holds nothing that can be moved
	}
	for _, t := range dir.Topics {
		for _, p := range t.Partitions {
			replica := replicaOf{model.TopicPartition{Topic: t.Topic, Partition: p.Partition}, id}
			state, asked := states[replica]
			switch {
			case !asked:
				continue
			case p.IsFuture:
				state.future = dir.Dir
			default:
				state.current = dir.Dir
			}
			states[replica] = state
		}
	}
}

// moveDirs asks brokers to move replicas, again and again while a broker does
// not have the replica yet, until the time-out.
func (r *bootstrapReassign) moveDirs(ctx context.Context, dirs map[replicaOf]string, timeout time.Duration) error {
	const pause = 100 * time.Millisecond
	deadline := time.Now().Add(timeout)
	pending := map[replicaOf]string{}
	for replica, dir := range dirs {
		pending[replica] = dir
	}
	for {
		done, err := r.moveDirsOnce(ctx, pending)
		if err != nil {
			return err
		}
		for _, replica := range done {
			delete(pending, replica)
		}
		if len(done) > 0 {
			fmt.Fprintf(r.out, "Successfully started log directory move%s for: %s\n", plural(len(done)), joinReplicas(done))
		}
		if len(pending) == 0 {
			return nil
		}
		if !time.Now().Before(deadline) {
			return &toldError{fmt.Sprintf("Timed out before log directory move%s could be started for: %s", plural(len(pending)), joinReplicas(sortedReplicas(pending)))}
		}
		if err := sleep(ctx, min(pause, time.Until(deadline))); err != nil {
			return err
		}
	}
}

func joinReplicas(replicas []replicaOf) string {
	names := make([]string, len(replicas))
	for i, r := range replicas {
		names[i] = r.String()
	}
	return strings.Join(names, ",")
}

// moveDirsOnce asks once and tells which moves have begun, in order.
func (r *bootstrapReassign) moveDirsOnce(ctx context.Context, dirs map[replicaOf]string) (done []replicaOf, err error) {
	for _, id := range dirBrokers(dirs) {
		req := kmsg.NewPtrAlterReplicaLogDirsRequest()
		for _, replica := range sortedReplicas(dirs) {
			if replica.broker == id {
				addDirMove(req, replica, dirs[replica])
			}
		}
		resp, err := r.client.call(ctx, "alterReplicaLogDirs", target(id), req)
		if err != nil {
			return nil, execution(err)
		}
		for _, t := range resp.(*kmsg.AlterReplicaLogDirsResponse).Topics {
			for _, p := range t.Partitions {
				replica := replicaOf{model.TopicPartition{Topic: t.Topic, Partition: p.Partition}, id}
				switch err := protocolError(p.ErrorCode, nil); {
				case err == nil:
					done = append(done, replica)
				case !errors.Is(err, kerr.ReplicaNotAvailable):
					return nil, causedBy(err, adminCommandFailed, "Failed to alter dir for %s", replica)
				}
			}
		}
	}
	return done, nil
}

// addDirMove puts a replica below the directory that it is to move to.
func addDirMove(req *kmsg.AlterReplicaLogDirsRequest, replica replicaOf, dir string) {
	i := slices.IndexFunc(req.Dirs, func(d kmsg.AlterReplicaLogDirsRequestDir) bool { return d.Dir == dir })
	if i < 0 {
		i = len(req.Dirs)
		d := kmsg.NewAlterReplicaLogDirsRequestDir()
		d.Dir = dir
		req.Dirs = append(req.Dirs, d)
	}
	topics := &req.Dirs[i].Topics
	if n := len(*topics); n == 0 || (*topics)[n-1].Topic != replica.Topic {
		t := kmsg.NewAlterReplicaLogDirsRequestDirTopic()
		t.Topic = replica.Topic
		*topics = append(*topics, t)
	}
	last := &(*topics)[len(*topics)-1]
	last.Partitions = append(last.Partitions, replica.Partition)
}
