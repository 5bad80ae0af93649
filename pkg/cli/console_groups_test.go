package cli

import (
	"bufio"
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// groupRecord is a record of __consumer_offsets with so many members.
func groupRecord(members ...string) *kgo.Record {
	key, value := kmsg.NewGroupMetadataKey(), kmsg.NewGroupMetadataValue()
	key.Version, key.Group = 2, "live"
	value.Version, value.ProtocolType, value.Generation = 3, "consumer", 7
	value.Protocol = kmsg.StringPtr("range")
	for _, id := range members {
		m := kmsg.NewGroupMetadataValueMember()
		m.MemberID, m.ClientID, m.ClientHost, m.SessionTimeoutMillis, m.RebalanceTimeoutMillis = id, "c", "/127.0.0.1", 10000, 300000
		value.Members = append(value.Members, m)
	}
	return &kgo.Record{Key: key.AppendTo(nil), Value: value.AppendTo(nil)}
}

func showRecord(t testing.TB, f messageFormatter, r *kgo.Record) (string, error) {
	t.Helper()
	var b bytes.Buffer
	out := bufio.NewWriter(&b)
	err := f.write(out, r)
	require.NoError(t, out.Flush())
	return b.String(), err
}

func TestGroupsAreShown(t *testing.T) {
	f, err := newFormatter("kafka.coordinator.group.GroupMetadataManager$GroupMetadataMessageFormatter", nil)
	require.NoError(t, err)
	deleted, simple, commit := groupRecord(), groupRecord(), &kgo.Record{Key: []byte{0, 1, 0, 0}}
	deleted.Value = nil
	value := kmsg.NewGroupMetadataValue()
	value.Version = 3
	simple.Value = value.AppendTo(nil)
	for _, row := range []struct {
		record *kgo.Record
		want   string
	}{
		{groupRecord(), "live::GroupMetadata(groupId=live, generation=7, protocolType=Some(consumer), currentState=Empty, members=HashMap())\n"},
		{groupRecord("m"), "live::GroupMetadata(groupId=live, generation=7, protocolType=Some(consumer), currentState=Stable, members=HashMap(" +
			"m -> MemberMetadata(memberId=m, groupInstanceId=None, clientId=c, clientHost=/127.0.0.1, sessionTimeoutMs=10000, rebalanceTimeoutMs=300000, supportedProtocols=List(range), )))\n"},
		{simple, "live::GroupMetadata(groupId=live, generation=0, protocolType=None, currentState=Empty, members=HashMap())\n"},
		{deleted, "live::NULL\n"},
		{commit, ""},
	} {
		got, err := showRecord(t, f, row.record)
		require.NoError(t, err)
		require.Equal(t, row.want, got)
	}
	bad := groupRecord("m")
	bad.Value = bad.Value[:9]
	_, err = showRecord(t, f, bad)
	require.ErrorContains(t, err, "group at offset 0")
}

func FuzzCoordinatorRecords(f *testing.F) {
	r := groupRecord("m", "n")
	f.Add(r.Key, r.Value)
	f.Add([]byte{0, 1, 0, 1, 'g', 0, 1, 't', 0, 0, 0, 0}, []byte{0, 3})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		for _, formatter := range []messageFormatter{storedGroups{}, committedOffsets{}} {
			showRecord(t, formatter, &kgo.Record{Key: key, Value: value})
		}
	})
}
