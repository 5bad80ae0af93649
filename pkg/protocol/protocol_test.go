package protocol

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/wire"
)

func TestTableAgreesWithTheMessages(t *testing.T) {
	last := int16(-1)
	for _, api := range All() {
		require.Greater(t, api.Key, last, "%s: keys are in order", api.Name)
		last = api.Key
		require.LessOrEqual(t, api.Min, api.Max)
		req := kmsg.RequestForKey(api.Key)
		require.NotNil(t, req, api.Name)
		for version := api.Min; version <= api.Max; version++ {
			req.SetVersion(version)
			require.Equal(t, req.IsFlexible(), api.IsFlexible(version), "%s v%d", api.Name, version)
		}
		require.LessOrEqual(t, api.Max, req.MaxVersion(), api.Name)
	}
}

func TestParseHeader(t *testing.T) {
	id := "cli"
	for name, row := range map[string]struct {
		frame []byte
		want  wire.Header
		body  []byte
	}{
		"v1": {
			frame: []byte{0, 3, 0, 1, 0, 0, 0, 7, 0, 3, 'c', 'l', 'i', 9},
			want:  wire.Header{Key: 3, Version: 1, CorrelationID: 7, ClientID: &id}, body: []byte{9},
		},
		"v1 without client id": {
			frame: []byte{0, 3, 0, 1, 0, 0, 0, 7, 255, 255, 9},
			want:  wire.Header{Key: 3, Version: 1, CorrelationID: 7}, body: []byte{9},
		},
		"v2 with a tag": {
			frame: []byte{0, 3, 0, 9, 0, 0, 0, 7, 0, 3, 'c', 'l', 'i', 1, 5, 2, 1, 1, 9},
			want:  wire.Header{Key: 3, Version: 9, CorrelationID: 7, ClientID: &id}, body: []byte{9},
		},
		"controlled shutdown v0": {
			frame: []byte{0, 7, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1},
			want:  wire.Header{Key: 7, CorrelationID: 7}, body: []byte{0, 0, 0, 1},
		},
		"api versions from the future": {
			frame: []byte{0, 18, 0, 99, 0, 0, 0, 7, 255, 255, 0, 1, 2},
			want:  wire.Header{Key: 18, Version: 99, CorrelationID: 7}, body: []byte{1, 2},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, body, err := ParseHeader(row.frame)
			require.NoError(t, err)
			require.Equal(t, row.want, got)
			require.Equal(t, row.body, body)
			for cut := range len(row.frame) - len(row.body) {
				_, _, err := ParseHeader(row.frame[:cut])
				require.ErrorIs(t, err, ErrHeader, "cut at %d", cut)
			}
		})
	}
}

func TestParseHeaderOfAnUnknownKeyStillTellsIt(t *testing.T) {
	h, _, err := ParseHeader([]byte{3, 231, 0, 0, 0, 0, 0, 7, 0, 0})
	require.ErrorIs(t, err, ErrHeader)
	require.Equal(t, int16(999), h.Key)
}

func TestAppendResponseHeader(t *testing.T) {
	require.Equal(t, []byte{0, 0, 0, 7}, AppendResponseHeader(nil, wire.Header{Key: 3, Version: 8, CorrelationID: 7}))
	require.Equal(t, []byte{0, 0, 0, 7, 0}, AppendResponseHeader(nil, wire.Header{Key: 3, Version: 9, CorrelationID: 7}))
	require.Equal(t, []byte{0, 0, 0, 7}, AppendResponseHeader(nil, wire.Header{Key: 18, Version: 3, CorrelationID: 7}))
}

func FuzzParseHeader(f *testing.F) {
	f.Add([]byte{0, 3, 0, 9, 0, 0, 0, 7, 0, 3, 'c', 'l', 'i', 1, 5, 2, 1, 1, 9})
	f.Add([]byte{0, 18, 0, 99, 0, 0, 0, 7, 255, 255, 0, 1, 2})
	f.Fuzz(func(t *testing.T, frame []byte) {
		_, body, err := ParseHeader(frame)
		if err == nil && len(body) > len(frame) {
			t.Fatal("the body is longer than the frame")
		}
	})
}
