package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/commitlog"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// fetcher follows one leader for some of its partitions: it brings their logs
// in line with the leader's and then asks for what is new, all partitions in
// one request. One goroutine, one connection, one fetch session.
type fetcher struct {
	manager *Manager
	key     fetcherKey
	log     *logrus.Entry // kafka.server.ReplicaFetcherThread
	prefix  string
	ctx     context.Context
	cancel  context.CancelFunc
	wake    chan struct{}

	// Of the goroutine alone.
	conn        peer // nil when there is none
	dialsFailed int  // how often none could be made, in a row
	session     *fetchSession
	wanted      []askedPartition
	didCut      bool // the recovery points on disk may lie behind the ends of logs

	// mu guards the fields below. It is held while a partition's records are
	// appended, so that nothing is appended any more once a partition is
	// removed; never while the leader is asked.
	mu     sync.Mutex
	states map[model.TopicPartition]*fetchState
	turns  uint64
	order  []*fetchState // the states as they are to be asked; see orderedLocked
	stale  bool          // other partitions have come or gone
	turned bool          // some got records
}

// fetchState is where a partition stands.
type fetchState struct {
	partition *Partition
	epoch     model.LeaderEpoch // in which the leader is followed
	offset    int64             // to fetch next
	lag       int64             // how far that is below the leader's high watermark; unknownOffset at first
	last      model.LeaderEpoch // of the last record held
	phase     fetchPhase
	notBefore time.Time // after an error
	turn      uint64    // when it got records last
	said      asked     // what the session knows, if told
	told      bool
}

type fetchPhase int

const (
	phaseFetching   fetchPhase = iota
	phaseTruncating            // the logs are compared before the first fetch
	phaseAstray                // the offset is none of the leader's; its ends are asked
)

func (m *Manager) newFetcher(key fetcherKey) *fetcher {
	f := &fetcher{
		manager: m, key: key,
		log:     m.options.Loggers.Logger("kafka.server.ReplicaFetcherThread"),
		prefix:  fmt.Sprintf("[ReplicaFetcher replicaId=%d, leaderId=%d, fetcherId=%d] ", m.options.BrokerID, key.leader, key.id),
		wake:    make(chan struct{}, 1),
		session: newFetchSession(m.options.Versions.Fetch),
		states:  map[model.TopicPartition]*fetchState{},
	}
	f.ctx, f.cancel = context.WithCancel(m.group.Context())
	return f
}

// start begins to fetch; it is the end of the manager's group that waits for
// the goroutine.
func (f *fetcher) start() {
	f.manager.group.Go(fmt.Sprintf("fetcher-%d-%d", f.key.id, f.key.leader), func(context.Context) error {
		f.log.Infof("%sStarting", f.prefix)
		f.run()
		f.hangUp()
		f.log.Infof("%sStopped", f.prefix)
		return nil
	})
}

func (f *fetcher) add(list []following) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range list {
		if before := f.states[n.partition.TopicPartition]; before != nil && before.epoch == n.epoch {
			continue
		}
		f.states[n.partition.TopicPartition] = f.begin(n)
		f.stale = true
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *fetcher) begin(n following) *fetchState {
	s := &fetchState{partition: n.partition, epoch: n.epoch, offset: n.offset, lag: unknownOffset, last: model.NoLeaderEpoch, phase: phaseTruncating}
	if log := n.partition.Log(); log != nil && f.manager.options.Versions.TruncateOnFetch {
		if s.last = log.LatestEpoch(); s.last != model.NoLeaderEpoch {
			s.phase = phaseFetching
		}
	}
	return s
}

func (f *fetcher) remove(tps []model.TopicPartition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, tp := range tps {
		f.dropLocked(tp)
	}
}

func (f *fetcher) dropLocked(tp model.TopicPartition) {
	delete(f.states, tp)
	f.stale = true
}

// orderedLocked lists the partitions, those first that got records longest
// ago.
func (f *fetcher) orderedLocked() []*fetchState {
	if f.stale {
		clear(f.order)
		f.order = slices.AppendSeq(f.order[:0], maps.Values(f.states))
	}
	if f.stale || f.turned {
		slices.SortFunc(f.order, func(a, b *fetchState) int {
			return cmp.Or(cmp.Compare(a.turn, b.turn), a.partition.TopicPartition.Compare(b.partition.TopicPartition))
		})
	}
	f.stale, f.turned = false, false
	return f.order
}

func (f *fetcher) idle() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.states) == 0
}

// run is the life of a follower: compare, fetch, append.
func (f *fetcher) run() {
	for f.ctx.Err() == nil {
		f.settleTruncating()
		f.settleAstray()
		req := f.nextFetch(time.Now())
		if req == nil {
			f.rest()
			continue
		}
		f.exchange(req)
	}
}

// restMin keeps a fetcher that has nothing to do from spinning when
// replica.fetch.backoff.ms is 0.
const restMin = 10 * time.Millisecond

// rest waits until there is something to do or the backoff has passed.
func (f *fetcher) rest() {
	timer := time.NewTimer(max(f.manager.options.Fetching.Backoff, restMin))
	defer timer.Stop()
	select {
	case <-f.wake:
	case <-timer.C:
	case <-f.ctx.Done():
	}
}

// ask sends a request to the leader. After an error every partition waits.
func (f *fetcher) ask(req kmsg.Request) (kmsg.Response, error) {
	if f.conn == nil {
		ctx, cancel := context.WithTimeout(f.ctx, f.manager.options.Fetching.connectTimeout(f.dialsFailed))
		conn, err := f.manager.dial(ctx, f.key.leader, f.manager.options.Listener, fmt.Sprintf("broker-%d-fetcher-%d", f.manager.options.BrokerID, f.key.id))
		cancel()
		if err != nil {
			f.dialsFailed++
			return nil, f.lost(err)
		}
		f.conn, f.dialsFailed = conn, 0
	}
	resp, err := f.conn.Request(f.ctx, req)
	if err != nil {
		return nil, f.lost(err)
	}
	return resp, nil
}

// lost gives the connection up.
func (f *fetcher) lost(err error) error {
	f.hangUp()
	f.session.broken()
	if f.ctx.Err() == nil {
		f.log.Warnf("%sError when sending leader epoch, offset or fetch request to broker %d: %v", f.prefix, f.key.leader, err)
		f.delayAll()
	}
	return err
}

func (f *fetcher) hangUp() {
	if f.conn != nil {
		f.conn.Close() //nolint:errcheck // nothing is lost with it
		f.conn = nil
	}
}

func (f *fetcher) delayAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.states {
		f.delay(s)
	}
}

// delay makes a partition wait after an error. mu is held, as for all that
// take a state.
func (f *fetcher) delay(s *fetchState) {
	s.notBefore = time.Now().Add(f.manager.options.Fetching.Backoff)
}

// nextFetch makes a request for every partition that is ready, nil when none
// is. Those that lag behind and are throttled are left out while the quota is
// exceeded.
//
// Hot path: no allocation for a partition that has nothing new to say.
func (f *fetcher) nextFetch(now time.Time) *kmsg.FetchRequest {
	f.wanted = f.wanted[:0]
	f.mu.Lock()
	for _, s := range f.orderedLocked() {
		tp, log := s.partition.TopicPartition, s.partition.Log()
		if log == nil || s.phase != phaseFetching || s.notBefore.After(now) || s.lag != 0 && f.manager.options.Quotas.Follower.Holds(tp, now) {
			s.told = false // the session will forget it
			continue
		}
		question := asked{s.offset, log.LogStartOffset(), s.epoch, s.last}
		f.wanted = append(f.wanted, askedPartition{tp, question, s.told && s.said == question})
		s.said, s.told = question, true
	}
	f.mu.Unlock()
	if len(f.wanted) == 0 {
		return nil
	}
	o := &f.manager.options
	req := kmsg.NewPtrFetchRequest()
	req.Version = o.Versions.Fetch
	req.ReplicaID = int32(o.BrokerID)
	req.MaxWaitMillis, req.MinBytes = int32(o.Fetching.MaxWait.Milliseconds()), int32(o.Fetching.MinBytes)
	req.MaxBytes = int32(o.Fetching.ResponseMaxBytes)
	f.session.fill(req, f.wanted, o.Fetching.PartitionMaxBytes)
	return req
}

// exchange fetches once. The answer's records lie in the buffer of the
// connection and are appended before the next request.
func (f *fetcher) exchange(req *kmsg.FetchRequest) {
	answer, err := f.ask(req)
	if err != nil {
		return
	}
	resp := answer.(*kmsg.FetchResponse)
	if err := f.session.answered(resp); err != nil {
		f.log.Infof("%sNode %d was unable to process the fetch request with (sessionId=%d, epoch=%d): %s.",
			f.prefix, f.key.leader, req.SessionID, req.SessionEpoch, err.Name)
		if err != kerr.FetchSessionIDNotFound && err != kerr.InvalidFetchSessionEpoch {
			f.delayAll()
		}
		return
	}
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			tp := model.TopicPartition{Topic: t.Topic, Partition: t.Partitions[j].Partition}
			if question, named := f.session.asked[tp]; named {
				f.take(tp, question, &t.Partitions[j])
			}
		}
	}
	f.keepCuts()
}

// keepCuts brings the recovery points on disk below the ends of logs that
// were cut, before anything is appended to them.
func (f *fetcher) keepCuts() {
	if f.didCut {
		f.didCut = false
		f.manager.options.Logs.CheckpointRecoveryPoints()
	}
}

// take carries out the answer for one partition, unless it was overtaken.
func (f *fetcher) take(tp model.TopicPartition, question asked, answer *kmsg.FetchResponseTopicPartition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.states[tp]
	if s == nil || s.phase != phaseFetching || s.offset != question.offset || s.epoch != question.epoch || s.notBefore.After(time.Now()) {
		return
	}
	if answer.ErrorCode != 0 {
		f.refused(tp, s, kerr.ForCode(answer.ErrorCode))
		return
	}
	if f.manager.options.Versions.TruncateOnFetch && answer.DivergingEpoch.Epoch >= 0 {
		f.cutTo(tp, s, EpochEnd{model.LeaderEpoch(answer.DivergingEpoch.Epoch), answer.DivergingEpoch.EndOffset})
		return
	}
	more, err := s.partition.appendFromLeader(s.epoch, fetched{s.offset, answer.RecordBatches, answer.HighWatermark, answer.LogStartOffset})
	if err != nil {
		f.failed(tp, s, err)
		return
	}
	if n := len(answer.RecordBatches); n > 0 {
		f.turns++
		s.turn, f.turned = f.turns, true
		f.resume(s)
		if throttle := f.manager.options.Quotas.Follower; throttle.Throttles(tp) {
			throttle.Record(n, time.Now())
		}
	}
	s.lag = max(0, answer.HighWatermark-s.offset)
	if more {
		f.manager.wake(tp)
	}
}

// resume goes on where the log ends.
func (f *fetcher) resume(s *fetchState) {
	if log := s.partition.Log(); log != nil {
		s.offset, s.last, s.phase = log.LogEndOffset(), log.LatestEpoch(), phaseFetching
	}
}

// refused deals with an error that the leader answered.
func (f *fetcher) refused(tp model.TopicPartition, s *fetchState, err *kerr.Error) {
	switch err {
	case kerr.OffsetOutOfRange:
		s.phase = phaseAstray
		return
	case kerr.FencedLeaderEpoch:
		f.log.Infof("%sPartition %s has an older epoch (%d) than the current leader. Will await the new LeaderAndIsr state before resuming fetching.",
			f.prefix, tp, s.epoch)
		f.dropLocked(tp)
		return
	case kerr.UnknownLeaderEpoch:
		f.log.Debugf("%sPartition %s has a newer epoch (%d) than the current leader. Retry the partition later.", f.prefix, tp, s.epoch)
	case kerr.NotLeaderOrFollower:
		f.log.Debugf("%sRemote broker is not the leader for partition %s, which could indicate that the partition is being moved", f.prefix, tp)
	case kerr.UnknownTopicOrPartition:
		f.log.Warnf("%sReceived UNKNOWN_TOPIC_OR_PARTITION from the leader for partition %s. This error may be returned transiently when the partition is being created or deleted, but it is not expected to persist.",
			f.prefix, tp)
	default:
		f.log.Errorf("%sError for partition %s at offset %d: %s: %s", f.prefix, tp, s.offset, err.Name, err.Text)
	}
	f.delay(s)
}

// failed deals with an error of our own. What the leader sent broken may come
// whole the next time; everything else waits for the controller.
func (f *fetcher) failed(tp model.TopicPartition, s *fetchState, err error) {
	var refused *kerr.Error
	switch {
	case errors.Is(err, errNotFollowing):
		f.dropLocked(tp)
	case errors.As(err, &refused) && refused == kerr.CorruptMessage:
		f.log.Errorf("%sFound invalid messages during fetch for partition %s offset %d: %v", f.prefix, tp, s.offset, err)
		f.delay(s)
	case errors.Is(err, commitlog.ErrClosed):
		f.log.Warnf("%sPartition %s marked as failed: its log is closed", f.prefix, tp)
		f.dropLocked(tp)
	default:
		f.log.WithError(err).Errorf("%sUnexpected error occurred while processing data for partition %s at offset %d", f.prefix, tp, s.offset)
		f.log.Warnf("%sPartition %s marked as failed", f.prefix, tp)
		f.dropLocked(tp)
	}
}
