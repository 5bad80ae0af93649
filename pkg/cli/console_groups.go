package cli

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// storedGroups shows the groups of __consumer_offsets, as Kafka's
// GroupMetadataMessageFormatter does.
type storedGroups struct{}

// groupKeyVersion is the version of the keys of group records; those below
// are of offset commits.
const groupKeyVersion = 2

func (storedGroups) write(out *bufio.Writer, r *kgo.Record) error {
	if len(r.Key) < 2 || binary.BigEndian.Uint16(r.Key) != groupKeyVersion {
		return nil // an offset commit
	}
	key := kmsg.NewGroupMetadataKey()
	if err := key.ReadFrom(bytes.Clone(r.Key)); err != nil {
		return exceptionf(kafkaException, "group key at offset %d: %s", r.Offset, err)
	}
	out.WriteString(key.Group + "::")
	if r.Value == nil {
		out.WriteString("NULL\n")
		return nil
	}
	value := kmsg.NewGroupMetadataValue()
	if err := value.ReadFrom(bytes.Clone(r.Value)); err != nil {
		return exceptionf(kafkaException, "group at offset %d: %s", r.Offset, err)
	}
	state, protocolType := "Empty", "None"
	if len(value.Members) > 0 {
		state = "Stable"
	}
	if value.ProtocolType != "" {
		protocolType = "Some(" + value.ProtocolType + ")"
	}
	fmt.Fprintf(out, "GroupMetadata(groupId=%s, generation=%d, protocolType=%s, currentState=%s, members=HashMap(%s))\n",
		key.Group, value.Generation, protocolType, state, membersText(&value))
	return nil
}

// membersText lists members in the order of Kafka's map.
func membersText(group *kmsg.GroupMetadataValue) string {
	texts, ids := map[string]string{}, []string(nil)
	for _, m := range group.Members {
		instance, protocol := "None", ""
		if m.InstanceID != nil {
			instance = "Some(" + *m.InstanceID + ")"
		}
		if group.Protocol != nil {
			protocol = *group.Protocol
		}
		if _, twice := texts[m.MemberID]; !twice {
			ids = append(ids, m.MemberID)
		}
		texts[m.MemberID] = fmt.Sprintf("%[1]s -> MemberMetadata(memberId=%[1]s, groupInstanceId=%[2]s, clientId=%[3]s, clientHost=%[4]s, "+
			"sessionTimeoutMs=%[5]d, rebalanceTimeoutMs=%[6]d, supportedProtocols=List(%[7]s), )",
			m.MemberID, instance, m.ClientID, m.ClientHost, m.SessionTimeoutMillis, m.RebalanceTimeoutMillis, protocol)
	}
	ordered := make([]string, 0, len(ids))
	for _, id := range hashMapOrder(ids, 16) {
		ordered = append(ordered, texts[id])
	}
	return strings.Join(ordered, ", ")
}
