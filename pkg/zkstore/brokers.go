package zkstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"

	"gregor/pkg/model"
)

// BrokerInfo is a broker's registration: /brokers/ids/N.
type BrokerInfo struct {
	model.Broker
	JMXPort   int32 // -1 for none
	Version   int   // of the JSON: 5, or 4 and 2 for older inter.broker.protocol.version; 0 writes 5
	Timestamp int64 // ms; 0 writes the present
	Features  map[string]FeatureRange
}

// FeatureRange is the versions of a feature that a broker supports.
type FeatureRange struct{ Min, Max int16 }

type brokerJSON struct {
	Features  *map[string]brokerFeatureJSON `json:"features,omitempty"`
	Protocols *map[string]string            `json:"listener_security_protocol_map,omitempty"`
	Endpoints []string                      `json:"endpoints,omitempty"`
	Rack      *string                       `json:"rack,omitempty"`
	JMXPort   *int32                        `json:"jmx_port"`
	Port      *int32                        `json:"port"`
	Host      *string                       `json:"host"`
	Version   *int                          `json:"version"`
	Timestamp timestampJSON                 `json:"timestamp"`
}

type brokerFeatureJSON struct {
	Min int16 `json:"min_version"`
	Max int16 `json:"max_version"`
}

// timestampJSON is milliseconds, written as text and read as text or number.
type timestampJSON int64

func (t timestampJSON) MarshalJSON() ([]byte, error) {
	return []byte(`"` + strconv.FormatInt(int64(t), 10) + `"`), nil
}

func (t *timestampJSON) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	return (*looseInt)(t).UnmarshalJSON(b)
}

// encodeBroker writes the JSON of the version that b asks for: 2 has
// endpoints, 3 a rack, 4 the protocol map, 5 features.
func encodeBroker(b BrokerInfo) []byte {
	version := b.Version
	if version == 0 {
		version = 5
	}
	j := brokerJSON{JMXPort: &b.JMXPort, Version: &version, Timestamp: timestampJSON(b.Timestamp)}
	if b.Timestamp == 0 {
		j.Timestamp = timestampJSON(time.Now().UnixMilli())
	}
	noPort := int32(-1)
	j.Port = &noPort
	for _, e := range b.Endpoints {
		if e.SecurityProtocol == model.Plaintext {
			j.Host, j.Port = &e.Host, &e.Port
			break
		}
	}
	if version >= 2 {
		for _, e := range b.Endpoints {
			j.Endpoints = append(j.Endpoints, e.String())
		}
	}
	if version >= 3 {
		j.Rack = b.Rack
	}
	if version >= 4 {
		protocols := map[string]string{}
		for _, e := range b.Endpoints {
			protocols[e.Listener] = e.SecurityProtocol.String()
		}
		j.Protocols = &protocols
	}
	if version >= 5 {
		features := map[string]brokerFeatureJSON{}
		for name, r := range b.Features {
			features[name] = brokerFeatureJSON(r)
		}
		j.Features = &features
	}
	return encodeJSON(j)
}

// decodeBroker reads every version from 1 to 5, and newer ones as 5.
func decodeBroker(id model.BrokerID, data []byte) (BrokerInfo, error) {
	path := BrokerPath(id)
	var j brokerJSON
	if err := decodeJSON(path, data, &j); err != nil {
		return BrokerInfo{}, err
	}
	if j.Version == nil || *j.Version < 1 {
		return BrokerInfo{}, badData(path, "no version of 1 or more in %s", quoteShort(data))
	}
	b := BrokerInfo{Version: *j.Version, JMXPort: -1, Timestamp: int64(j.Timestamp)}
	b.ID, b.Epoch, b.Rack = id, model.NoBrokerEpoch, j.Rack
	if j.JMXPort != nil {
		b.JMXPort = *j.JMXPort
	}
	if j.Features != nil {
		b.Features = map[string]FeatureRange{}
		for name, r := range *j.Features {
			b.Features[name] = FeatureRange(r)
		}
	}
	var err error
	b.Endpoints, err = j.endpoints(path)
	return b, err
}

func (j brokerJSON) endpoints(path string) ([]model.Endpoint, error) {
	if *j.Version == 1 {
		if j.Host == nil || j.Port == nil {
			return nil, badData(path, "version 1 without host and port")
		}
		return []model.Endpoint{{Listener: "PLAINTEXT", Host: *j.Host, Port: *j.Port}}, nil
	}
	if len(j.Endpoints) == 0 {
		return nil, badData(path, "no endpoints")
	}
	var endpoints []model.Endpoint
	for _, text := range j.Endpoints {
		e, err := parseEndpoint(text)
		if err != nil {
			return nil, badData(path, "%v", err)
		}
		protocol := e.Listener
		if j.Protocols != nil {
			protocol = (*j.Protocols)[e.Listener]
		}
		if e.SecurityProtocol, err = model.ParseSecurityProtocol(protocol); err != nil {
			return nil, badData(path, "endpoint %q: %v", text, err)
		}
		endpoints = append(endpoints, e)
	}
	return endpoints, nil
}

func parseEndpoint(text string) (model.Endpoint, error) {
	listener, address, ok := strings.Cut(text, "://")
	if !ok || listener == "" {
		return model.Endpoint{}, fmt.Errorf("endpoint %q is not of the form LISTENER://host:port", text)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return model.Endpoint{}, fmt.Errorf("endpoint %q: %v", text, err)
	}
	n, err := strconv.ParseInt(port, 10, 32)
	if err != nil || n < -1 || n > 65535 {
		return model.Endpoint{}, fmt.Errorf("endpoint %q: %q is not a port", text, port)
	}
	return model.Endpoint{Listener: listener, Host: host, Port: int32(n)}, nil
}

// BrokerIDs lists the registered brokers in order of their ids. It returns the
// good ones together with an ErrBadData for names that are no ids.
func (s *Store) BrokerIDs(ctx context.Context) ([]model.BrokerID, error) {
	names, err := s.sortedChildren(ctx, BrokerIDsPath)
	if err != nil {
		return nil, err
	}
	var ids []model.BrokerID
	var bad []error
	for _, name := range names {
		n, err := strconv.ParseInt(name, 10, 32)
		if err != nil {
			bad = append(bad, badData(BrokerIDsPath+"/"+name, "the name is not a broker id"))
			continue
		}
		ids = append(ids, model.BrokerID(n))
	}
	slices.Sort(ids)
	return ids, errors.Join(bad...)
}

// Brokers reads all registrations, in order of ids, with their epochs. It
// returns the good ones together with an ErrBadData for others.
func (s *Store) Brokers(ctx context.Context) ([]BrokerInfo, error) {
	ids, badNames := s.BrokerIDs(ctx)
	if badNames != nil && !errors.Is(badNames, ErrBadData) {
		return nil, badNames
	}
	paths := make([]string, len(ids))
	for i, id := range ids {
		paths[i] = BrokerPath(id)
	}
	results, err := s.getAll(ctx, paths)
	if err != nil {
		return nil, err
	}
	var brokers []BrokerInfo
	bad := []error{badNames}
	for i, r := range results {
		b, found, err := brokerOf(ids[i], r)
		if err != nil {
			bad = append(bad, err)
		} else if found {
			brokers = append(brokers, b)
		}
	}
	return brokers, errors.Join(bad...)
}

// Broker reads one registration; found is false when there is none.
func (s *Store) Broker(ctx context.Context, id model.BrokerID) (b BrokerInfo, found bool, err error) {
	return brokerOf(id, s.one(ctx, op{kind: opGet, path: BrokerPath(id)}))
}

func brokerOf(id model.BrokerID, r result) (BrokerInfo, bool, error) {
	if errors.Is(r.err, ErrNoNode) {
		return BrokerInfo{}, false, nil
	}
	if r.err != nil {
		return BrokerInfo{}, false, r.err
	}
	b, err := decodeBroker(id, r.data)
	b.Epoch = model.BrokerEpoch(r.stat.Czxid)
	return b, err == nil, err
}

// RegisterBroker makes the broker's ephemeral node and returns its epoch. A
// node that a former session of ours left is replaced; another's is refused
// with ErrNodeExists.
func (s *Store) RegisterBroker(ctx context.Context, b BrokerInfo) (model.BrokerEpoch, error) {
	path := BrokerPath(b.ID)
	s.client.Infof("Creating %s (is it secure? %t)", path, s.opts.SetACL)
	stat, err := s.createEphemeral(ctx, path, encodeBroker(b))
	if err != nil {
		return model.NoBrokerEpoch, err
	}
	s.client.Infof("Stat of the created znode at %s is: %s\n", path, statText(stat))
	addresses := make([]string, len(b.Endpoints))
	for i, e := range b.Endpoints {
		addresses[i] = e.String()
	}
	s.client.Infof("Registered broker %d at path %s with addresses: %s, czxid (broker epoch): %d",
		b.ID, path, strings.Join(addresses, ","), stat.Czxid)
	return model.BrokerEpoch(stat.Czxid), nil
}

// UpdateBroker writes a registration anew, as after a change of listeners.
func (s *Store) UpdateBroker(ctx context.Context, b BrokerInfo) error {
	path := BrokerPath(b.ID)
	if _, err := s.set(ctx, path, encodeBroker(b), anyVersion, NoFence); err != nil {
		return err
	}
	addresses := make([]string, len(b.Endpoints))
	for i, e := range b.Endpoints {
		addresses[i] = e.String()
	}
	s.client.Infof("Updated broker %d at path %s with addresses: %s", b.ID, path, strings.Join(addresses, ","))
	return nil
}

// createEphemeral creates a node of this session with its data in one
// transaction, because only the answer to setData has a Stat: its czxid is
// the broker epoch.
//
// When the node exists already, its owner decides: this session made it and
// only the answer was lost; a former session of ours left it: it is replaced;
// anybody else's stays.
func (s *Store) createEphemeral(ctx context.Context, path string, data []byte) (zk.Stat, error) {
	create := []op{
		{kind: opCreate, path: path, flags: zk.FlagEphemeral},
		{kind: opSet, path: path, data: data, version: 0},
	}
	replace := false
	for {
		s.announce(s.session())
		ops := create
		if replace {
			ops = append([]op{{kind: opDelete, path: path, version: anyVersion}}, create...)
		}
		r := s.one(ctx, op{kind: opMulti, ops: ops})
		if r.err == nil {
			return r.each[len(r.each)-1].stat, nil
		}
		if errors.Is(r.err, ErrNoNode) && replace { // gone by itself
			replace = false
			continue
		}
		if !errors.Is(r.err, ErrNodeExists) {
			return zk.Stat{}, r.err
		}
		_, stat, err := s.get(ctx, path)
		switch {
		case errors.Is(err, ErrNoNode):
			s.client.Infof("The ephemeral node at %s went away while it was read; creating it again", path)
		case err != nil:
			return zk.Stat{}, err
		case stat.EphemeralOwner != 0 && stat.EphemeralOwner == s.SessionID():
			return stat, nil
		case s.ownedByFormerSession(stat.EphemeralOwner):
			s.client.Infof("The node at %s belongs to session '%d', a former one of this broker; it is replaced for session '%d'",
				path, stat.EphemeralOwner, s.SessionID())
			replace = true
		default:
			s.opts.Loggers.Logger("kafka.zk.KafkaZkClient$CheckedEphemeral").Errorf(
				"Error while creating ephemeral at %s, node already exists and owner '%d' does not match current session '%d'",
				path, stat.EphemeralOwner, s.SessionID())
			return zk.Stat{}, &Error{Code: CodeNodeExists, Path: path}
		}
	}
}

// statText is the form in which Java prints a Stat.
func statText(s zk.Stat) string {
	return fmt.Sprintf("%d,%d,%d,%d,%d,%d,%d,%d,%d,%d,%d", s.Czxid, s.Mzxid, s.Ctime, s.Mtime,
		s.Version, s.Cversion, s.Aversion, s.EphemeralOwner, s.DataLength, s.NumChildren, s.Pzxid)
}
