package zkstore

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/go-zookeeper/zk"

	"gregor/pkg/model"
)

type controllerJSON struct {
	Version   int           `json:"version"`
	BrokerID  *int32        `json:"brokerid"`
	Timestamp timestampJSON `json:"timestamp"`
}

func encodeController(id model.BrokerID, timestampMs int64) []byte {
	n := int32(id)
	return encodeJSON(controllerJSON{Version: 1, BrokerID: &n, Timestamp: timestampJSON(timestampMs)})
}

func decodeController(data []byte) (model.BrokerID, error) {
	var j controllerJSON
	if err := decodeJSON(ControllerPath, data, &j); err != nil {
		return model.NoBroker, err
	}
	if j.BrokerID == nil {
		return model.NoBroker, badData(ControllerPath, "no brokerid in %s", quoteShort(data))
	}
	return model.BrokerID(*j.BrokerID), nil
}

// ControllerID is the active controller, model.NoBroker when there is none. A
// node that a former session of ours left behind counts as none: the broker
// that held it is gone, and RegisterController replaces the node.
func (s *Store) ControllerID(ctx context.Context) (model.BrokerID, error) {
	data, stat, err := s.get(ctx, ControllerPath)
	if errors.Is(err, ErrNoNode) || err == nil && s.ownedByFormerSession(stat.EphemeralOwner) {
		return model.NoBroker, nil
	}
	if err != nil {
		return model.NoBroker, err
	}
	return decodeController(data)
}

// ControllerEpoch reads the epoch of the latest controller and the version
// that fences its writes; found is false before the first controller.
func (s *Store) ControllerEpoch(ctx context.Context) (epoch model.ControllerEpoch, fence Fence, found bool, err error) {
	data, stat, err := s.get(ctx, ControllerEpochPath)
	if errors.Is(err, ErrNoNode) {
		return 0, 0, false, nil
	}
	if err != nil {
		return 0, 0, false, err
	}
	n, err := strconv.ParseInt(string(data), 10, 32)
	if err != nil || n < 0 {
		return 0, 0, false, badData(ControllerEpochPath, "%s is not an epoch", quoteShort(data))
	}
	return model.ControllerEpoch(n), Fence(stat.Version), true, nil
}

// RegisterController tries to make id the controller: /controller is created
// and the epoch raised in one transaction. It returns the new epoch and the
// fence for everything that the controller writes, or ErrControllerMoved when
// another broker was faster.
func (s *Store) RegisterController(ctx context.Context, id model.BrokerID) (model.ControllerEpoch, Fence, error) {
	epoch, version, err := s.ensureControllerEpoch(ctx)
	if err != nil {
		return 0, 0, err
	}
	stale, err := s.staleController(ctx)
	if err != nil {
		return 0, 0, err
	}
	next := epoch + 1
	ops := []op{
		{kind: opCreate, path: ControllerPath, data: encodeController(id, time.Now().UnixMilli()), flags: zk.FlagEphemeral},
		{kind: opSet, path: ControllerEpochPath, data: []byte(strconv.Itoa(int(next))), version: int32(version)},
	}
	if stale {
		ops = append([]op{{kind: opDelete, path: ControllerPath, version: anyVersion}}, ops...)
	}
	s.announce(s.session())
	r := s.one(ctx, op{kind: opMulti, ops: ops})
	switch {
	case r.err == nil:
		return next, Fence(r.each[len(r.each)-1].stat.Version), nil
	case errors.Is(r.err, ErrNodeExists), errors.Is(r.err, ErrBadVersion), errors.Is(r.err, ErrNoNode):
		return s.checkElected(ctx, next)
	}
	return 0, 0, r.err
}

func (s *Store) ensureControllerEpoch(ctx context.Context) (model.ControllerEpoch, Fence, error) {
	for {
		epoch, fence, found, err := s.ControllerEpoch(ctx)
		if err != nil || found {
			return epoch, fence, err
		}
		err = s.create(ctx, ControllerEpochPath, []byte("0"))
		switch {
		case err == nil:
			s.client.Infof("Successfully created %s with initial epoch 0", ControllerEpochPath)
			return 0, 0, nil
		case !errors.Is(err, ErrNodeExists):
			return 0, 0, err
		}
	}
}

// staleController reports whether /controller was left by a former session of
// ours.
func (s *Store) staleController(ctx context.Context) (bool, error) {
	_, stat, err := s.get(ctx, ControllerPath)
	if errors.Is(err, ErrNoNode) {
		return false, nil
	}
	return err == nil && s.ownedByFormerSession(stat.EphemeralOwner), err
}

// checkElected finds out whether a transaction that seems to have failed had
// succeeded before its answer was lost: then this session owns /controller
// and the epoch is the one we wrote.
func (s *Store) checkElected(ctx context.Context, wrote model.ControllerEpoch) (model.ControllerEpoch, Fence, error) {
	_, stat, err := s.get(ctx, ControllerPath)
	if errors.Is(err, ErrNoNode) {
		return 0, 0, ErrControllerMoved
	}
	if err != nil {
		return 0, 0, err
	}
	epoch, fence, _, err := s.ControllerEpoch(ctx)
	if err != nil {
		return 0, 0, err
	}
	if stat.EphemeralOwner != s.SessionID() || epoch != wrote {
		return 0, 0, ErrControllerMoved
	}
	return epoch, fence, nil
}

// ResignController deletes /controller, if the caller still is the one that
// the fence belongs to.
func (s *Store) ResignController(ctx context.Context, fence Fence) error {
	err := s.delete(ctx, ControllerPath, anyVersion, fence)
	if errors.Is(err, ErrNoNode) {
		return nil
	}
	return err
}
