package api

import (
	"encoding/hex"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/protocol"
)

// fill gives every field of a request some value that is not its zero.
func fill(v reflect.Value, random *rand.Rand) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), random)
	case reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "Version" && name != "UnknownTags" && v.Field(i).CanSet() {
				fill(v.Field(i), random)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), random.IntN(3), 3))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), random)
		}
	case reflect.String:
		v.SetString(string(make([]byte, random.IntN(200))))
	case reflect.Bool:
		v.SetBool(random.IntN(2) == 1)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(random.IntN(100)))
	case reflect.Uint8:
		v.SetUint(uint64(random.IntN(100)))
	case reflect.Float64:
		v.SetFloat(random.Float64())
	}
}

// The shape of every request in every version is that of kmsg: it covers what
// kmsg writes to the last byte, and nothing shorter.
// An array may be null only where the protocol says so.
func TestNullArrays(t *testing.T) {
	for _, c := range []struct {
		what         string
		key, version int16
		body         string
		want         bool
	}{
		{"metadata 0", 3, 0, "ffffffff", false},
		{"metadata 1", 3, 1, "ffffffff", true},
		{"metadata 1, -2", 3, 1, "fffffffe", true},
		{"metadata 9", 3, 9, "0000000000", true},
		{"offset fetch 1", 9, 1, "000167ffffffff", false},
		{"offset fetch 2", 9, 2, "000167ffffffff", true},
		{"list offsets", 2, 1, "ffffffffffffffff", false},
		{"list offsets, flexible", 2, 6, "ffffffff000000", false},
		{"describe groups", 15, 0, "fffffffe", false},
		{"describe configs", 32, 0, "000000010200017 4ffffffff", true},
	} {
		frame, err := hex.DecodeString(strings.ReplaceAll(c.body, " ", ""))
		require.NoError(t, err)
		require.Equal(t, c.want, wellFormed(c.key, c.version, frame), c.what)
	}
}

func TestShapesAreThoseOfTheMessages(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, row := range protocol.All() {
		for version := row.Min; version <= row.Max; version++ {
			for range 20 {
				req := kmsg.RequestForKey(row.Key)
				req.SetVersion(version)
				fill(reflect.ValueOf(req).Elem(), random)
				body := req.AppendTo(nil)
				w := shapeWalk{body: newBody(body, row.IsFlexible(version)), version: version, elements: elementsMax}
				w.structure(shapes[row.Key])
				require.True(t, w.Ok(), "%s %d: %x", row.Name, version, body)
				require.Empty(t, w.Src, "%s %d: %x", row.Name, version, body)
				for n := range body {
					require.False(t, wellFormed(row.Key, version, body[:n]), "%s %d cut at %d", row.Name, version, n)
				}
			}
		}
	}
}

// Claims that would cost kmsg gigabytes or minutes are refused at once.
func TestShapeRefusesClaims(t *testing.T) {
	start := time.Now()
	for _, c := range []struct {
		key, version int16
		body         string
	}{
		{3, 9, "01000000ffffffff0f"},               // tagged fields of Metadata
		{3, 9, "0202740000" + "ffffffff0f" + "00"}, // and of a topic
		{3, 1, "7fffffff"},
		{18, 3, "0101ffffffff0f"},
		{99, 0, ""},
	} {
		body, err := hex.DecodeString(c.body)
		require.NoError(t, err)
		require.False(t, wellFormed(c.key, c.version, body), c.body)
	}
	many := append([]byte{0, 0x20, 0, 0}, make([]byte, 2<<21)...) // two million empty names
	require.False(t, wellFormed(3, 1, many))
	require.Less(t, time.Since(start), 10*time.Second)
}

// What has its shape, kmsg decodes.
func FuzzShape(f *testing.F) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, row := range protocol.All() {
		req := kmsg.RequestForKey(row.Key)
		req.SetVersion(row.Max)
		fill(reflect.ValueOf(req).Elem(), random)
		f.Add(row.Key, row.Max, req.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		row, ok := protocol.Lookup(key)
		if !ok || !row.Takes(version) || !wellFormed(key, version, body) {
			return
		}
		req := kmsg.RequestForKey(key)
		req.SetVersion(version)
		_ = req.ReadFrom(body) // may refuse what only kmsg knows; must end soon
	})
}
