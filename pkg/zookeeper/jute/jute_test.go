package jute

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	require.NoError(t, err)
	return b
}

func encoded(f func(e *Encoder)) string {
	var e Encoder
	f(&e)
	return hex.EncodeToString(e.B)
}

func TestBasicTypes(t *testing.T) {
	for name, row := range map[string]struct {
		encode func(e *Encoder)
		want   string
	}{
		"true":         {func(e *Encoder) { e.Bool(true) }, "01"},
		"int":          {func(e *Encoder) { e.Int(-2) }, "fffffffe"},
		"long":         {func(e *Encoder) { e.Long(0x1122334455667788) }, "1122334455667788"},
		"string":       {func(e *Encoder) { e.String("/a") }, "000000022f61"},
		"null buffer":  {func(e *Encoder) { e.Buffer(nil) }, "ffffffff"},
		"empty buffer": {func(e *Encoder) { e.Buffer([]byte{}) }, "00000000"},
		"no strings":   {func(e *Encoder) { e.Strings(nil) }, "00000000"},
		"strings":      {func(e *Encoder) { e.Strings([]string{"x"}) }, "000000010000000178"},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, row.want, encoded(row.encode)) })
	}
}

func TestNullIsNotEmpty(t *testing.T) {
	d := NewDecoder(unhex(t, "ffffffff 00000000"))
	require.Nil(t, d.Buffer())
	require.Equal(t, []byte{}, d.Buffer())
	require.NoError(t, d.Err())
}

func TestBadLengths(t *testing.T) {
	for name, row := range map[string]struct {
		bytes string
		read  func(d *Decoder)
		want  error
	}{
		"negative length":       {"fffffffe", func(d *Decoder) { d.Buffer() }, ErrMalformed},
		"length beyond end":     {"7fffffff00", func(d *Decoder) { d.Buffer() }, ErrMalformed},
		"count beyond end":      {"7fffffff00", func(d *Decoder) { d.Strings() }, ErrMalformed},
		"negative count":        {"80000000", func(d *Decoder) { d.Strings() }, ErrMalformed},
		"null path":             {"ffffffff", func(d *Decoder) { d.Path() }, ErrMalformed},
		"cut int":               {"0000", func(d *Decoder) { d.Int() }, ErrShort},
		"the first error stays": {"00", func(d *Decoder) { d.Int(); d.Fail(ErrMalformed) }, ErrShort},
	} {
		t.Run(name, func(t *testing.T) {
			d := NewDecoder(unhex(t, row.bytes))
			row.read(d)
			require.ErrorIs(t, d.Err(), row.want)
		})
	}
}

// Payloads from logs of Apache ZooKeeper 3.8.
func TestTransactionsOfApache(t *testing.T) {
	for name, row := range map[string]struct {
		bytes string
		want  Txn
	}{
		"createSession": {"0100001288e70000 00000000 0000000000000001 000001a1f6ef516a fffffff6 00002710 00000002 0000000051c6d660",
			Txn{SessionID: 0x0100001288e70000, Zxid: 1, Time: 0x1a1f6ef516a, Op: OpCreateSession, Body: &CreateSessionTxn{10000},
				HasDigest: true, Digest: 0x51c6d660}},
		"create": {"0100001288e70000 00000001 0000000000000005 000001a1f6ef5178 00000001 00000002 2f61 ffffffff 00000001 0000001f" +
			"00000005 776f726c64 00000006 616e796f6e65 00 00000001 00000002 00000000d08bca88",
			Txn{SessionID: 0x0100001288e70000, Cxid: 1, Zxid: 5, Time: 0x1a1f6ef5178, Op: OpCreate, HasDigest: true, Digest: 0xd08bca88,
				Body: &CreateTxn{Path: "/a", ACL: []ACL{{31, ID{"world", "anyone"}}}, ParentCVersion: 1}}},
		"failed multi": {"0000000000000001 00000002 000000000000001e 0000000000000003 0000000e 00000003 00000002 00000004 00000000" +
			"ffffffff 00000004 ffffff99 ffffffff 00000004 fffffffe 00000002 0000000000000007",
			Txn{SessionID: 1, Cxid: 2, Zxid: 0x1e, Time: 3, Op: OpMulti, HasDigest: true, Digest: 7,
				Body: &MultiTxn{[]SubTxn{{OpDelete, &DeleteTxn{}}, {OpError, &ErrorTxn{BadVersion}}, {OpError, &ErrorTxn{RuntimeInconsistency}}}}}},
		"closeSession before 3.6": {"0000000000000001 00000002 0000000000000003 0000000000000004 fffffff5",
			Txn{SessionID: 1, Cxid: 2, Zxid: 3, Time: 4, Op: OpCloseSession}},
	} {
		t.Run(name, func(t *testing.T) {
			b := unhex(t, row.bytes)
			got, err := DecodeTxn(b)
			require.NoError(t, err)
			require.Equal(t, &row.want, got)
			var e Encoder
			got.Encode(&e)
			require.Equal(t, hex.EncodeToString(b), hex.EncodeToString(e.B))
		})
	}
}

func TestCreateOfTheFirstVersionsHasNoCversion(t *testing.T) {
	b := unhex(t, "0000000000000001 00000001 0000000000000005 0000000000000006 00000001 00000002 2f61 ffffffff 00000000 00")
	txn, err := DecodeTxn(b)
	require.NoError(t, err)
	require.EqualValues(t, -1, txn.Body.(*CreateTxn).ParentCVersion)
}

func TestMultiInMultiIsRefused(t *testing.T) {
	_, err := DecodeTxn(unhex(t, "0000000000000001 00000001 0000000000000005 0000000000000006 0000000e 00000001 0000000e 00000004 00000000"))
	require.ErrorIs(t, err, ErrMalformed)
}

func TestConnectHasTwoForms(t *testing.T) {
	old := unhex(t, "00000000 0000000000000007 00002710 0000000000000001 00000002 abcd")
	var r ConnectRequest
	require.NoError(t, r.Decode(NewDecoder(old)))
	require.Equal(t, ConnectRequest{LastZxidSeen: 7, Timeout: 10000, SessionID: 1, Password: []byte{0xab, 0xcd}}, r)
	require.NoError(t, r.Decode(NewDecoder(append(old, 1))))
	require.True(t, r.HasReadOnly)
	require.True(t, r.ReadOnly)

	require.Len(t, encoded((&ConnectResponse{}).Encode), 2*36)
	require.Len(t, encoded((&ConnectResponse{WithReadOnly: true}).Encode), 2*37)
}

func TestStatIs68Bytes(t *testing.T) {
	stat := Stat{Czxid: 1, Mzxid: 2, Ctime: 3, Mtime: 4, Version: 5, Cversion: 6, Aversion: 7, EphemeralOwner: 8, DataLength: 9, NumChildren: 10, Pzxid: 11}
	require.Equal(t, strings.Join(strings.Fields("0000000000000001 0000000000000002 0000000000000003 0000000000000004 00000005 00000006 00000007"+
		"0000000000000008 00000009 0000000a 000000000000000b"), ""), encoded(stat.Encode))
}

func TestDecodeMulti(t *testing.T) {
	ops, err := DecodeMulti(NewDecoder(unhex(t, "0000000d 00 ffffffff 00000002 2f61 00000003 00000005 00 ffffffff 00000002 2f61 00000001 78 ffffffff ffffffff 01 ffffffff")))
	require.NoError(t, err)
	require.Equal(t, []MultiOp{{OpCheck, &PathVersionRequest{"/a", 3}}, {OpSetData, &SetDataRequest{"/a", []byte("x"), -1}}}, ops)

	for name, text := range map[string]string{
		"getData inside": "00000004 00 ffffffff 00000002 2f61 00 ffffffff 01 ffffffff",
		"no end":         "00000002 00 ffffffff 00000002 2f61 00000003",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := DecodeMulti(NewDecoder(unhex(t, text)))
			require.Error(t, err)
		})
	}
}

// Whatever transaction is written is read back the same.
func TestTransactionsRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		txn := &Txn{SessionID: rapid.Int64().Draw(rt, "session"), Cxid: rapid.Int32().Draw(rt, "cxid"),
			Zxid: rapid.Int64().Draw(rt, "zxid"), Time: rapid.Int64().Draw(rt, "time"), HasDigest: rapid.Bool().Draw(rt, "hasDigest")}
		if txn.HasDigest {
			txn.Digest = rapid.Uint64().Draw(rt, "digest")
		}
		txn.Op, txn.Body = drawBody(rt, true)
		var e Encoder
		txn.Encode(&e)
		got, err := DecodeTxn(e.B)
		require.NoError(rt, err)
		require.Equal(rt, txn, got)
	})
}

func drawBody(rt *rapid.T, multi bool) (Op, TxnBody) {
	path := rapid.StringMatching(`/[a-z/]{0,8}`).Draw(rt, "path")
	data := rapid.Custom(func(rt *rapid.T) []byte {
		if rapid.Bool().Draw(rt, "null") {
			return nil
		}
		return append([]byte{}, rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(rt, "bytes")...)
	}).Draw(rt, "data")
	acl := rapid.SliceOfN(rapid.Just(ACL{7, ID{"digest", "u:x"}}), 0, 2).Draw(rt, "acl")
	ops := []Op{OpCreate, OpCreate2, OpCreateContainer, OpCreateTTL, OpDelete, OpDeleteContainer, OpSetData, OpSetACL, OpCreateSession, OpCloseSession, OpError, OpCheck}
	if multi {
		ops = append(ops, OpMulti)
	}
	switch op := rapid.SampledFrom(ops).Draw(rt, "op"); op {
	case OpCreate, OpCreate2:
		return op, &CreateTxn{Path: path, Data: data, ACL: acl, Ephemeral: rapid.Bool().Draw(rt, "ephemeral"), ParentCVersion: 4}
	case OpCreateContainer:
		return op, &CreateTxn{Path: path, Data: data, ACL: acl, ParentCVersion: 4}
	case OpCreateTTL:
		return op, &CreateTxn{Path: path, Data: data, ACL: acl, ParentCVersion: 4, TTL: 99}
	case OpDelete, OpDeleteContainer:
		return op, &DeleteTxn{path}
	case OpSetData:
		return op, &SetDataTxn{path, data, 3}
	case OpSetACL:
		return op, &SetACLTxn{path, acl, 3}
	case OpCreateSession:
		return op, &CreateSessionTxn{3}
	case OpCloseSession:
		return op, &CloseSessionTxn{[]string{path}}
	case OpError:
		return op, &ErrorTxn{NoNode}
	case OpCheck:
		return op, &CheckTxn{path, 3}
	default:
		body := &MultiTxn{Txns: []SubTxn{}}
		for range rapid.IntRange(0, 3).Draw(rt, "subs") {
			op, sub := drawBody(rt, false)
			body.Txns = append(body.Txns, SubTxn{op, sub})
		}
		return op, body
	}
}

func FuzzDecodeTxn(f *testing.F) {
	f.Add(unhex(f, "0100001288e70000 00000001 0000000000000005 000001a1f6ef5178 00000001 00000002 2f61 ffffffff 00000001 0000001f"+
		"00000005 776f726c64 00000006 616e796f6e65 00 00000001 00000002 00000000d08bca88"))
	f.Add(unhex(f, "0000000000000001 00000002 000000000000001e 0000000000000003 0000000e 00000001 00000002 00000004 00000000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		txn, err := DecodeTxn(b)
		if err != nil {
			return
		}
		var e Encoder
		txn.Encode(&e)
		again, err := DecodeTxn(e.B)
		require.NoError(t, err)
		require.Equal(t, txn, again)
	})
}

func FuzzRequests(f *testing.F) {
	f.Add(unhex(f, "0000000d 00 ffffffff 00000002 2f61 00000003 ffffffff 01 ffffffff"))
	f.Add(unhex(f, "00000000 0000000000000007 00002710 0000000000000001 00000002 abcd"))
	f.Fuzz(func(t *testing.T, b []byte) {
		decoders := []interface{ Decode(*Decoder) error }{&ConnectRequest{}, &RequestHeader{}, &CreateRequest{}, &PathVersionRequest{}, &SetDataRequest{},
			&SetACLRequest{}, &PathWatchRequest{}, &PathTypeRequest{}, &AuthRequest{}, &SetWatchesRequest{}}
		for _, r := range decoders {
			d := NewDecoder(b)
			require.Equal(t, r.Decode(d), d.Err())
			require.LessOrEqual(t, d.Offset(), len(b))
		}
		_, err := DecodeMulti(NewDecoder(b))
		_ = err // any answer but a panic will do
	})
}
