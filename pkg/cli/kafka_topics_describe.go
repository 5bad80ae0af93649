package cli

import (
	"fmt"
	"io"
	"strings"

	"gregor/pkg/model"
)

// topicDescription is what --describe shows of a topic.
type topicDescription struct {
	name              string
	id                model.TopicID // zero when the topic has none
	configs           []string      // "name=value", in the order to print
	markedForDeletion bool
	partitions        []partitionDescription // ascending
	minISR            int32                  // min.insync.replicas, when it is asked for
}

// partitionDescription is what --describe shows of a partition.
type partitionDescription struct {
	id               int32
	leader           model.BrokerID // NoBroker: none
	replicas, isr    []model.BrokerID
	adding, removing []model.BrokerID // while a reassignment runs
	reassigning      bool
}

// replicationFactor does not count replicas that are only being added.
func (p *partitionDescription) replicationFactor() int {
	return len(p.replicas) - len(p.adding)
}

// describer prints topics as the options of --describe select them.
type describer struct {
	out      io.Writer
	options  *topicOptions
	live     map[model.BrokerID]bool // brokers that are up
	noTopics bool                    // a report of partitions: without the topics' own lines
}

func newDescriber(out io.Writer, o *topicOptions, live map[model.BrokerID]bool) *describer {
	return &describer{out: out, options: o, live: live,
		noTopics: o.Count(o.underReplicated, o.unavailable, o.underMinISR, o.atMinISR) > 0}
}

func (d *describer) print(t *topicDescription) error {
	var b strings.Builder
	marked := ""
	if t.markedForDeletion {
		marked = "\tMarkedForDeletion: true"
	}
	onlyOverridden := d.options.Has(d.options.withOverrides)
	if !d.noTopics && (!onlyOverridden || len(t.configs) > 0) {
		b.WriteString("Topic: " + t.name)
		if !t.id.IsZero() {
			b.WriteString("\tTopicId: " + t.id.String())
		}
		factor := 0
		if len(t.partitions) > 0 {
			factor = t.partitions[0].replicationFactor()
		}
		fmt.Fprintf(&b, "\tPartitionCount: %d\tReplicationFactor: %d\tConfigs: %s%s\n", len(t.partitions), factor, strings.Join(t.configs, ","), marked)
	}
	for i := range t.partitions {
		p := &t.partitions[i]
		if onlyOverridden || !d.selects(p, t.minISR) {
			continue
		}
		leader := "none"
		if p.leader != model.NoBroker {
			leader = p.leader.String()
		}
		fmt.Fprintf(&b, "\tTopic: %s\tPartition: %d\tLeader: %s\tReplicas: %s\tIsr: %s", t.name, p.id, leader, joinIDs(p.replicas), joinIDs(p.isr))
		if p.reassigning {
			fmt.Fprintf(&b, "\tAdding Replicas: %s\tRemoving Replicas: %s", joinIDs(p.adding), joinIDs(p.removing))
		}
		b.WriteString(marked + "\n")
	}
	_, err := io.WriteString(d.out, b.String())
	return err
}

// selects reports whether the partition's line is to be shown.
func (d *describer) selects(p *partitionDescription, minISR int32) bool {
	o, inSync := d.options, int32(len(p.isr))
	switch {
	case o.Has(o.underReplicated):
		return p.replicationFactor() > len(p.isr)
	case o.Has(o.unavailable):
		return p.leader == model.NoBroker || !d.live[p.leader]
	case o.Has(o.underMinISR):
		return p.leader == model.NoBroker || inSync < minISR
	case o.Has(o.atMinISR):
		return inSync == minISR
	}
	return true
}
