package admin

import (
	"math/rand/v2"
	"slices"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// Candidate is a broker that replicas may be placed on.
type Candidate struct {
	ID   model.BrokerID
	Rack *string
}

// Placement is where a placement begins. The zero value draws at random, as
// Kafka does for new topics.
type Placement struct {
	// Fixed makes Start both the index of the first broker and the first
	// shift; Kafka does so when it adds partitions to a topic.
	Fixed bool
	Start int
	// FirstPartition is the number of the first partition to place.
	FirstPartition int32
	// Draw returns a number in [0, n); nil is math/rand. It is asked for the
	// start index, then for the shift.
	Draw func(n int) int
}

// partitionsMax is more than the znode of a topic can hold within ZooKeeper's
// limits. It bounds what a number in a request may make us allocate.
const partitionsMax = 1 << 19

// AssignReplicas spreads replicas over brokers by Kafka's rule: the leaders
// go round the brokers from a start index, and the other replicas follow at a
// distance that grows with each full round, so that the load of a lost broker
// is spread. With racks, brokers are first interleaved by rack, and a replica
// skips brokers and racks that hold one already while others do not.
func AssignReplicas(brokers []Candidate, partitions int32, replicationFactor int, at Placement) (map[int32][]model.BrokerID, error) {
	if partitions <= 0 {
		return nil, kerr.InvalidPartitions.With("Number of partitions must be larger than 0.")
	}
	if partitions > partitionsMax {
		return nil, kerr.InvalidPartitions.With("Number of partitions must not be larger than %d: more do not fit into a topic's znode.", partitionsMax)
	}
	if replicationFactor <= 0 {
		return nil, kerr.InvalidReplicationFactor.With("Replication factor must be larger than 0.")
	}
	if replicationFactor > len(brokers) {
		return nil, kerr.InvalidReplicationFactor.With("Replication factor: %d larger than available brokers: %d.", replicationFactor, len(brokers))
	}
	brokers = slices.SortedFunc(slices.Values(brokers), func(a, b Candidate) int { return int(a.ID) - int(b.ID) })
	withRack := 0
	for _, b := range brokers {
		if b.Rack != nil {
			withRack++
		}
	}
	var p placer
	switch withRack {
	case 0:
		for _, b := range brokers {
			p.ids = append(p.ids, b.ID)
		}
	case len(brokers):
		p.byRack(brokers)
	default:
		return nil, operationError("Not all brokers have rack information for replica rack aware assignment.")
	}
	return p.place(partitions, replicationFactor, at), nil
}

// placer holds the brokers in the order in which leaders go round them.
type placer struct {
	ids    []model.BrokerID
	racks  []string // by index of ids; nil without racks
	nRacks int
}

// byRack interleaves the brokers: the first of each rack in the order of the
// racks' names, then the second of each, and so on.
func (p *placer) byRack(brokers []Candidate) {
	members := map[string][]model.BrokerID{}
	var names []string
	for _, b := range brokers {
		if members[*b.Rack] == nil {
			names = append(names, *b.Rack)
		}
		members[*b.Rack] = append(members[*b.Rack], b.ID)
	}
	slices.Sort(names)
	p.nRacks = len(names)
	for round := 0; len(p.ids) < len(brokers); round++ {
		for _, rack := range names {
			if round < len(members[rack]) {
				p.ids = append(p.ids, members[rack][round])
				p.racks = append(p.racks, rack)
			}
		}
	}
}

func (p *placer) place(partitions int32, replicationFactor int, at Placement) map[int32][]model.BrokerID {
	n := len(p.ids)
	draw := at.Draw
	if draw == nil {
		draw = rand.IntN
	}
	start, shift := at.Start, at.Start
	if !at.Fixed {
		start, shift = draw(n), draw(n)
	}
	result := make(map[int32][]model.BrokerID, partitions)
	for partition := at.FirstPartition; partition < at.FirstPartition+partitions; partition++ {
		if partition > 0 && int(partition)%n == 0 {
			shift++
		}
		first := (int(partition) + start) % n
		if p.racks == nil {
			result[partition] = p.row(first, shift, replicationFactor)
		} else {
			result[partition] = p.rackRow(first, shift*p.nRacks, replicationFactor)
		}
	}
	return result
}

// row is one partition's replicas without racks.
func (p *placer) row(first, shift, replicationFactor int) []model.BrokerID {
	row := []model.BrokerID{p.ids[first]}
	for follower := range replicationFactor - 1 {
		row = append(row, p.ids[p.followerIndex(first, shift, follower)])
	}
	return row
}

// rackRow is one partition's replicas with racks: candidates come in the
// order of row, and one is passed over while its rack or itself holds a
// replica and another rack or broker holds none.
func (p *placer) rackRow(first, shift, replicationFactor int) []model.BrokerID {
	row := []model.BrokerID{p.ids[first]}
	usedRacks := map[string]bool{p.racks[first]: true}
	usedIndexes := map[int]bool{first: true}
	for candidate := 0; len(row) < replicationFactor; candidate++ {
		i := p.followerIndex(first, shift, candidate)
		rackTaken := usedRacks[p.racks[i]] && len(usedRacks) < p.nRacks
		brokerTaken := usedIndexes[i] && len(usedIndexes) < len(p.ids)
		if rackTaken || brokerTaken {
			continue
		}
		row = append(row, p.ids[i])
		usedRacks[p.racks[i]] = true
		usedIndexes[i] = true
	}
	return row
}

// followerIndex is the place of the follower-th replica behind the first one;
// it never is the first one's own.
func (p *placer) followerIndex(first, shift, follower int) int {
	distance := 1 + (shift+follower)%(len(p.ids)-1)
	return (first + distance) % len(p.ids)
}
