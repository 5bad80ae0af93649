package model

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTopicPartitionNames(t *testing.T) {
	for name, want := range map[string]TopicPartition{
		"test-0":        {"test", 0},
		"with-dash-12":  {"with-dash", 12},
		"__consumer-49": {"__consumer", 49},
		"test--1":       {"test-", 1},
	} {
		got, err := ParseTopicPartition(name)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, name, got.String())
	}
	for _, name := range []string{"", "test", "-0", "test-", "test-x", "test-2147483648"} {
		_, err := ParseTopicPartition(name)
		require.Error(t, err, name)
	}
}

func TestTopicID(t *testing.T) {
	for range 200 {
		id := NewTopicID()
		text := id.String()
		require.Len(t, text, 22)
		require.NotEqual(t, byte('-'), text[0])
		back, err := ParseTopicID(text)
		require.NoError(t, err)
		require.Equal(t, id, back)
		require.False(t, id.IsZero())
	}
	for _, text := range []string{"", "x", "ZFij0UVNTu2aqxyHJ1fGi", "ZFij0UVNTu2aqxyHJ1fGigg", "ZFij0UVNTu2aqxyHJ1fG+g"} {
		_, err := ParseTopicID(text)
		require.Error(t, err, text)
	}
}

func TestJavaStringHash(t *testing.T) {
	// Values of String.hashCode.
	for text, want := range map[string]int32{
		"": 0, "a": 97, "test": 3556498, "grp": 102629, "é": 233, "😀": 1772899,
	} {
		require.Equal(t, want, JavaStringHash(text), text)
	}
	require.EqualValues(t, 0, JavaAbs(-1<<31))
	require.EqualValues(t, 5, JavaAbs(-5))
	require.EqualValues(t, 5, JavaAbs(5))
}

func TestEndpoints(t *testing.T) {
	e := Endpoint{Listener: "PLAINTEXT", Host: "::1", Port: 9092}
	require.Equal(t, "PLAINTEXT://[::1]:9092", e.String())
	b := Broker{ID: 1, Endpoints: []Endpoint{e}}
	got, ok := b.Endpoint("PLAINTEXT")
	require.True(t, ok)
	require.Equal(t, e, got)
	_, ok = b.Endpoint("SSL")
	require.False(t, ok)
	for p := Plaintext; p <= SASLSSL; p++ {
		back, err := ParseSecurityProtocol(p.String())
		require.NoError(t, err)
		require.Equal(t, p, back)
	}
	_, err := ParseSecurityProtocol("TLS")
	require.Error(t, err)
	require.Equal(t, "UNKNOWN", SecurityProtocol(9).String())
}

func TestInternalTopics(t *testing.T) {
	require.True(t, IsInternalTopic("__consumer_offsets"))
	require.True(t, IsInternalTopic("__transaction_state"))
	require.False(t, IsInternalTopic("__mine"))
}
