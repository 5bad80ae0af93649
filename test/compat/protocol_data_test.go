//go:build compat

package compat

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/compress"
	"gregor/pkg/record"
)

// changed is a batch with bytes set and, unless told otherwise, a CRC that
// fits.
func changed(b record.Batch, at int, value ...byte) record.Batch {
	b = slices.Clone(b)
	copy(b[at:], value)
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func flipped(b record.Batch, at int) record.Batch {
	b = slices.Clone(b)
	b[at] ^= 0xff
	return b
}

func idempotent(id int64, epoch int16, sequence int32) func(*record.Builder) {
	return func(b *record.Builder) { b.ProducerID, b.ProducerEpoch, b.BaseSequence = id, epoch, sequence }
}

// produceScript leaves out null records and partitions that are named twice:
// the original fails inside, and then mixes up the answers of a connection, or
// keeps one of the two.
func produceScript(c *conv) {
	now := time.Now().UnixMilli()
	good := func() record.Batch { return batch(2) }
	recent := record.NewBuilder(compress.None).Append(now, []byte("k"), []byte("v")).MustBuild()
	keyless := record.NewBuilder(compress.None).Append(stamp, nil, []byte("v")).Append(stamp, nil, []byte("w")).MustBuild()
	with := func(codec compress.Codec) record.Batch {
		return record.NewBuilder(codec).Append(stamp, []byte("k"), []byte(strings.Repeat("v", 100))).MustBuild()
	}
	cases := []struct {
		what    string
		topic   string
		part    int32
		acks    int16
		records []byte
	}{
		{"good", "written", 0, -1, good()},
		{"good acks 1", "written", 0, 1, good()},
		{"unknown topic", "nowhere", 0, -1, good()},
		{"bad name", "bad name", 0, -1, good()},
		{"empty name", "", 0, -1, good()},
		{"unknown partition", "written", 9, -1, good()},
		{"negative partition", "written", -1, -1, good()},
		{"acks 2", "written", 0, 2, good()},
		{"acks -2", "written", 0, -2, good()},
		{"no records", "written", 0, -1, []byte{}},
		{"two batches", "written", 0, -1, append(good(), good()...)},
		{"one byte", "written", 0, -1, []byte{1}},
		{"seventeen bytes", "written", 0, -1, good()[:17]},
		{"cut", "written", 0, -1, good()[:len(good())-1]},
		{"trailing bytes", "written", 0, -1, append(good(), 1, 2, 3)},
		{"trailing header", "written", 0, -1, append(good(), good()[:20]...)},
		{"wrong crc", "written", 0, -1, flipped(good(), 17)},
		{"flipped value", "written", 0, -1, flipped(good(), len(good())-3)},
		{"magic 0", "written", 0, -1, changed(good(), 16, 0)},
		{"magic 1", "written", 0, -1, changed(good(), 16, 1)},
		{"magic 3", "written", 0, -1, changed(good(), 16, 3)},
		{"magic 255", "written", 0, -1, changed(good(), 16, 255)},
		{"count too high", "written", 0, -1, changed(good(), 57, 0, 0, 0, 3)},
		{"count too low", "written", 0, -1, changed(good(), 57, 0, 0, 0, 1)},
		{"count 0", "written", 0, -1, changed(good(), 57, 0, 0, 0, 0)},
		{"count negative", "written", 0, -1, changed(good(), 57, 255, 255, 255, 255)},
		{"count and delta high", "written", 0, -1, changed(changed(good(), 57, 0, 0, 0, 3), 23, 0, 0, 0, 2)},
		{"count and delta huge", "written", 0, -1, changed(changed(good(), 57, 0x7f, 255, 255, 255), 23, 0x7f, 255, 255, 254)},
		{"last delta high", "written", 0, -1, changed(good(), 23, 0, 0, 0, 9)},
		{"last delta negative", "written", 0, -1, changed(good(), 23, 255, 255, 255, 255)},
		{"base offset 5", "written", 0, -1, changed(good(), 0, 0, 0, 0, 0, 0, 0, 0, 5)},
		{"base offset negative", "written", 0, -1, changed(good(), 0, 255, 255, 255, 255, 255, 255, 255, 255)},
		{"length 0", "written", 0, -1, changed(good(), 8, 0, 0, 0, 0)},
		{"length negative", "written", 0, -1, changed(good(), 8, 255, 255, 255, 255)},
		{"length huge", "written", 0, -1, changed(good(), 8, 0x7f, 255, 255, 255)},
		{"leader epoch set", "written", 0, -1, changed(good(), 12, 0, 0, 0, 77)},
		{"control bit", "written", 0, -1, changed(good(), 22, 0x20)},
		{"transactional bit", "written", 0, -1, changed(good(), 22, 0x10)},
		{"time bit", "written", 0, -1, changed(good(), 22, 0x08)},
		{"horizon bit", "written", 0, -1, changed(good(), 22, 0x40)},
		{"unused attributes", "written", 0, -1, changed(good(), 21, 0x80)},
		{"codec 5", "written", 0, -1, changed(good(), 22, 5)},
		{"codec 7", "written", 0, -1, changed(good(), 22, 7)},
		{"codec gzip on plain bytes", "written", 0, -1, changed(good(), 22, 1)},
		{"codec snappy on plain bytes", "written", 0, -1, changed(good(), 22, 2)},
		{"codec lz4 on plain bytes", "written", 0, -1, changed(good(), 22, 3)},
		{"codec zstd on plain bytes", "written", 0, -1, changed(good(), 22, 4)},
		{"max timestamp wrong", "written", 0, -1, changed(good(), 35, 0, 0, 0, 0, 0, 0, 0, 1)},
		{"timestamp -1", "written", 0, -1, record.NewBuilder(compress.None).Append(-1, []byte("k"), []byte("v")).MustBuild()},
		{"timestamp -2", "written", 0, -1, record.NewBuilder(compress.None).Append(-2, []byte("k"), []byte("v")).MustBuild()},
		{"record length wrong", "written", 0, -1, changed(good(), 61, 0x7e)},
		{"record length zero", "written", 0, -1, changed(good(), 61, 0)},
		{"record length negative", "written", 0, -1, changed(good(), 61, 1)},
		{"offset delta wrong", "written", 0, -1, changed(good(), 64, 0x08)},
		{"gzip", "written", 0, -1, with(compress.Gzip)},
		{"snappy", "written", 0, -1, with(compress.Snappy)},
		{"lz4", "written", 0, -1, with(compress.LZ4)},
		{"zstd", "written", 0, -1, with(compress.Zstd)},
		{"producer id, epoch -1", "written", 0, -1, batch(2, idempotent(7000, -1, 0))},
		{"producer id, sequence -1", "written", 0, -1, batch(2, idempotent(7000, 0, -1))},
		{"no producer id, sequence 3", "written", 0, -1, batch(2, idempotent(-1, -1, 3))},
		{"producer id -5", "written", 0, -1, batch(2, idempotent(-5, 0, 0))},
		{"internal topic", "__consumer_offsets", 0, -1, good()},
		{"compacted, no key", "compacted", 0, -1, keyless},
		{"compacted, key", "compacted", 0, -1, good()},
		{"log append time", "stamped", 0, -1, good()},
		{"log append time, time bit", "stamped", 0, -1, changed(good(), 22, 0x08)},
		{"too few in sync, acks all", "strict", 0, -1, good()},
		{"too few in sync, acks 1", "strict", 0, 1, good()},
		{"too large", "narrow", 0, -1, batch(20)},
		{"time too old", "timely", 0, -1, good()},
		{"time fine", "timely", 0, -1, recent},
		{"time too new", "timely", 0, -1, record.NewBuilder(compress.None).Append(now+1<<40, []byte("k"), []byte("v")).MustBuild()},
		{"into gzip", "zipped", 0, -1, good()},
		{"gzip into gzip", "zipped", 0, -1, with(compress.Gzip)},
		{"larger than a segment", "small", 0, -1, batch(40)},
	}
	for _, p := range cases {
		for version := int16(0); version <= 9; version++ {
			ask[*kmsg.ProduceResponse](c, p.what, version, producing(p.topic, p.part, p.acks, p.records))
		}
	}
	c.sequences()
	c.produceShapes()
	c.unanswered()
}

// sequences walks through what idempotent producers may send.
func (c *conv) sequences() {
	for version := int16(3); version <= 9; version++ {
		id := int64(8000 + int(version))
		send := func(what string, epoch int16, sequence int32, n int) {
			ask[*kmsg.ProduceResponse](c, what, version, producing("multi", 0, -1, batch(n, idempotent(id, epoch, sequence))))
		}
		send("sequence 0", 0, 0, 2)
		send("sequence 0 again", 0, 0, 2)
		send("sequence 2", 0, 2, 2)
		send("gap", 0, 9, 1)
		send("overlap", 0, 3, 2)
		send("same first, other count", 0, 2, 3)
		for i := range int32(6) {
			send("go on", 0, 4+i, 1)
		}
		send("old duplicate", 0, 0, 2)
		send("duplicate among the last five", 0, 6, 1)
		send("higher epoch, sequence 3", 1, 3, 1)
		send("higher epoch, sequence 0", 1, 0, 1)
		send("lower epoch", 0, 10, 1)
		id += 100
		send("unknown, sequence 5", 0, 5, 1)
		send("after it", 0, 6, 1)
		id += 100
		send("unknown, last sequence", 0, 1<<31-1, 1)
		send("wraps", 0, 0, 1)
		id += 100
		send("wraps within", 0, 1<<31-2, 4)
		send("after wrapping", 0, 2, 1)
	}
}

// produceShapes asks with odd requests around a batch.
func (c *conv) produceShapes() {
	for version := int16(3); version <= 9; version++ {
		build := func(what string, change func(*kmsg.ProduceRequest)) {
			req := producing("written", 0, -1, batch(1))
			change(req)
			ask[*kmsg.ProduceResponse](c, what, version, req)
		}
		tid := "tid"
		build("no topics", func(r *kmsg.ProduceRequest) { r.Topics = nil })
		build("no partitions", func(r *kmsg.ProduceRequest) { r.Topics[0].Partitions = nil })
		build("timeout 0", func(r *kmsg.ProduceRequest) { r.TimeoutMillis = 0 })
		build("timeout -1", func(r *kmsg.ProduceRequest) { r.TimeoutMillis = -1 })
		build("transactional id, plain batch", func(r *kmsg.ProduceRequest) { r.TransactionID = &tid })
		build("good and bad", func(r *kmsg.ProduceRequest) {
			bad := r.Topics[0].Partitions[0]
			bad.Partition = 7
			r.Topics[0].Partitions = append(r.Topics[0].Partitions, bad)
			r.Topics = append(r.Topics, producing("nowhere", 0, -1, batch(1)).Topics...)
		})
		build("transactional among plain", func(r *kmsg.ProduceRequest) {
			r.Topics = append(r.Topics, producing("multi", 1, -1, changed(batch(1), 22, 0x10)).Topics...)
		})
		build("no records among good", func(r *kmsg.ProduceRequest) {
			r.Topics = append(r.Topics, producing("multi", 1, -1, []byte{}).Topics...)
		})
	}
}

// unanswered sends acks=0 and looks whether the connection is still open.
func (c *conv) unanswered() {
	for version := int16(0); version <= 9; version++ {
		for _, p := range []struct {
			what, topic string
			records     []byte
		}{{"acks 0 good", "written", batch(1)}, {"acks 0 unknown topic", "nowhere", batch(1)}, {"acks 0 wrong crc", "written", flipped(batch(1), 17)},
			{"acks 0 empty", "written", []byte{}}, {"acks 0 two batches", "written", append(batch(1), batch(1)...)}, {"acks 0 transactional", "written", changed(batch(1), 22, 0x10)},
			{"acks 0 cut", "written", batch(1)[:40]}} {
			o := c.other()
			payload := o.encode(version, producing(p.topic, 0, 0, p.records))
			outcome := "open"
			if o.write(binary.BigEndian.AppendUint32(nil, uint32(len(payload))), payload) != nil {
				outcome = "closed"
			} else if err, failed := o.send(0, kmsg.NewPtrApiVersionsRequest()).(error); failed {
				outcome = err.Error()
			}
			c.record(label(producing("", 0, 0, nil), version, p.what), []string{"connection: " + outcome})
			o.close()
		}
	}
}

type fetchOf struct {
	topic     string
	partition int32
	offset    int64
	limit     int32
	epoch     int32
}

func fetching(change func(*kmsg.FetchRequest), of ...fetchOf) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = -1, 0, 1, 1<<20
	req.SessionEpoch = -1
	for _, f := range of {
		rt, rp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
		rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes, rp.CurrentLeaderEpoch = f.partition, f.offset, f.limit, f.epoch
		rt.Topic, rt.Partitions = f.topic, append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
	}
	if change != nil {
		change(req)
	}
	return req
}

func fetchScript(c *conv) {
	plain := fetchOf{"plain", 0, 0, 1 << 20, -1}
	at := func(change func(*fetchOf)) fetchOf { f := plain; change(&f); return f }
	cases := []struct {
		what   string
		change func(*kmsg.FetchRequest)
		of     []fetchOf
	}{
		{"all", nil, []fetchOf{plain}},
		{"many segments", nil, []fetchOf{at(func(f *fetchOf) { f.topic = "small" })}},
		{"from the middle of a batch", nil, []fetchOf{at(func(f *fetchOf) { f.offset = 4 })}},
		{"at the end", nil, []fetchOf{at(func(f *fetchOf) { f.offset = 15 })}},
		{"at the end, min bytes 0", func(r *kmsg.FetchRequest) { r.MinBytes, r.MaxWaitMillis = 0, 5000 }, []fetchOf{at(func(f *fetchOf) { f.offset = 15 })}},
		{"at the end, waits", func(r *kmsg.FetchRequest) { r.MaxWaitMillis = 10 }, []fetchOf{at(func(f *fetchOf) { f.offset = 15 })}},
		{"beyond the end", nil, []fetchOf{at(func(f *fetchOf) { f.offset = 16 })}},
		{"beyond the end, waits", func(r *kmsg.FetchRequest) { r.MaxWaitMillis = 5000 }, []fetchOf{at(func(f *fetchOf) { f.offset = 16 })}},
		{"negative offset", nil, []fetchOf{at(func(f *fetchOf) { f.offset = -1 })}},
		{"unknown topic", nil, []fetchOf{at(func(f *fetchOf) { f.topic = "nowhere" })}},
		{"bad name", nil, []fetchOf{at(func(f *fetchOf) { f.topic = "bad name" })}},
		{"unknown partition", nil, []fetchOf{at(func(f *fetchOf) { f.partition = 3 })}},
		{"negative partition", nil, []fetchOf{at(func(f *fetchOf) { f.partition = -1 })}},
		{"no topics", nil, nil},
		{"no partitions", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions = nil }, []fetchOf{plain}},
		{"partition limit 1", nil, []fetchOf{at(func(f *fetchOf) { f.limit = 1 })}},
		{"partition limit 0", nil, []fetchOf{at(func(f *fetchOf) { f.limit = 0 })}},
		{"partition limit -1", nil, []fetchOf{at(func(f *fetchOf) { f.limit = -1 })}},
		{"partition limit 150", nil, []fetchOf{at(func(f *fetchOf) { f.limit = 150 })}},
		{"limit 1", func(r *kmsg.FetchRequest) { r.MaxBytes = 1 }, []fetchOf{plain, at(func(f *fetchOf) { f.topic = "small" })}},
		{"limit 0", func(r *kmsg.FetchRequest) { r.MaxBytes = 0 }, []fetchOf{plain}},
		{"limit -1", func(r *kmsg.FetchRequest) { r.MaxBytes = -1 }, []fetchOf{plain}},
		{"limit for one", func(r *kmsg.FetchRequest) { r.MaxBytes = 300 }, []fetchOf{plain, at(func(f *fetchOf) { f.topic = "small" })}},
		{"min bytes above max", func(r *kmsg.FetchRequest) { r.MinBytes, r.MaxBytes, r.MaxWaitMillis = 1<<30, 100, 200 }, []fetchOf{plain}},
		{"min bytes never", func(r *kmsg.FetchRequest) { r.MinBytes, r.MaxWaitMillis = 1<<19, 20 }, []fetchOf{plain}},
		{"max wait -1", func(r *kmsg.FetchRequest) { r.MaxWaitMillis = -1 }, []fetchOf{at(func(f *fetchOf) { f.offset = 15 })}},
		{"read committed", func(r *kmsg.FetchRequest) { r.IsolationLevel = 1 }, []fetchOf{plain}},
		{"read committed, unknown", func(r *kmsg.FetchRequest) { r.IsolationLevel = 1 }, []fetchOf{at(func(f *fetchOf) { f.topic = "nowhere" })}},
		{"read committed at the end", func(r *kmsg.FetchRequest) { r.IsolationLevel = 1 }, []fetchOf{at(func(f *fetchOf) { f.offset = 15 })}},
		{"isolation 2", func(r *kmsg.FetchRequest) { r.IsolationLevel = 2 }, []fetchOf{plain}},
		{"isolation -1", func(r *kmsg.FetchRequest) { r.IsolationLevel = -1 }, []fetchOf{plain}},
		{"right leader epoch", nil, []fetchOf{at(func(f *fetchOf) { f.epoch = 0 })}},
		{"newer leader epoch", nil, []fetchOf{at(func(f *fetchOf) { f.epoch = 1 })}},
		{"leader epoch -2", nil, []fetchOf{at(func(f *fetchOf) { f.epoch = -2 })}},
		{"last fetched epoch 0", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].LastFetchedEpoch = 0 }, []fetchOf{at(func(f *fetchOf) { f.offset = 6 })}},
		{"last fetched epoch 3", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].LastFetchedEpoch = 3 }, []fetchOf{at(func(f *fetchOf) { f.offset = 6 })}},
		{"last fetched epoch, beyond", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].LastFetchedEpoch = 0 }, []fetchOf{at(func(f *fetchOf) { f.offset = 20 })}},
		{"debugging replica", func(r *kmsg.FetchRequest) { r.ReplicaID = -2 }, []fetchOf{plain}},
		{"replica -3", func(r *kmsg.FetchRequest) { r.ReplicaID = -3 }, []fetchOf{plain}},
		{"replica -9", func(r *kmsg.FetchRequest) { r.ReplicaID = -9 }, []fetchOf{plain}},
		{"replica 5", func(r *kmsg.FetchRequest) { r.ReplicaID = 5 }, []fetchOf{plain}},
		{"replica 0", func(r *kmsg.FetchRequest) { r.ReplicaID = 0 }, []fetchOf{plain}},
		{"replica 5, unknown topic", func(r *kmsg.FetchRequest) { r.ReplicaID = 5 }, []fetchOf{at(func(f *fetchOf) { f.topic = "nowhere" })}},
		{"twice", nil, []fetchOf{plain, plain}},
		{"twice with other offsets", nil, []fetchOf{plain, at(func(f *fetchOf) { f.offset = 9 })}},
		{"log start offset given", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].LogStartOffset = 3 }, []fetchOf{plain}},
		{"rack", func(r *kmsg.FetchRequest) { r.Rack = "r" }, []fetchOf{plain}},
		{"zstd topic", nil, []fetchOf{at(func(f *fetchOf) { f.topic = "zstd" })}},
		{"written", nil, []fetchOf{at(func(f *fetchOf) { f.topic = "compacted" })}},
		{"unknown among good", nil, []fetchOf{plain, at(func(f *fetchOf) { f.topic = "nowhere" }), at(func(f *fetchOf) { f.topic = "small" })}},
		{"negative session id", func(r *kmsg.FetchRequest) { r.SessionID, r.SessionEpoch = -5, 0 }, []fetchOf{plain}},
		{"unknown session", func(r *kmsg.FetchRequest) { r.SessionID, r.SessionEpoch = 12345, 1 }, []fetchOf{plain}},
		{"unknown session, final", func(r *kmsg.FetchRequest) { r.SessionID, r.SessionEpoch = 12345, -1 }, []fetchOf{plain}},
		{"unknown session, initial", func(r *kmsg.FetchRequest) { r.SessionID, r.SessionEpoch = 12345, 0 }, []fetchOf{plain}},
		{"no session, epoch 5", func(r *kmsg.FetchRequest) { r.SessionEpoch = 5 }, []fetchOf{plain}},
		{"no session, epoch -7", func(r *kmsg.FetchRequest) { r.SessionEpoch = -7 }, []fetchOf{plain}},
		{"initial session without partitions", func(r *kmsg.FetchRequest) { r.SessionEpoch = 0 }, nil},
	}
	for _, f := range cases {
		for version := range c.both(1) {
			ask[*kmsg.FetchResponse](c, f.what, version, fetching(f.change, f.of...))
		}
	}
	for version := int16(0); version < 4; version++ {
		for _, f := range cases[11:17] {
			ask[*kmsg.FetchResponse](c, f.what, version, fetching(f.change, f.of...))
		}
		ask[*kmsg.FetchResponse](c, "at the end", version, fetching(nil, fetchOf{"plain", 0, 15, 1 << 20, -1}))
		ask[*kmsg.FetchResponse](c, "beyond the end", version, fetching(nil, fetchOf{"plain", 0, 99, 1 << 20, -1}))
	}
	c.sessions()
}

// sessions walks through fetch sessions.
func (c *conv) sessions() {
	for version := int16(7); version <= 12; version++ {
		var id int32
		send := func(what string, epoch int32, forget string, of ...fetchOf) *kmsg.FetchResponse {
			return ask[*kmsg.FetchResponse](c, what, version, fetching(func(r *kmsg.FetchRequest) {
				r.SessionID, r.SessionEpoch = id, epoch
				if forget != "" {
					f := kmsg.NewFetchRequestForgottenTopic()
					f.Topic, f.Partitions = forget, []int32{0}
					r.ForgottenTopics = append(r.ForgottenTopics, f)
				}
			}, of...))
		}
		plain, small, end := fetchOf{"plain", 0, 0, 1 << 20, -1}, fetchOf{"small", 0, 0, 1 << 20, -1}, fetchOf{"plain", 0, 15, 1 << 20, -1}
		id = send("session opens", 0, "", plain, fetchOf{"nowhere", 0, 0, 1 << 20, -1}).SessionID
		send("session goes on", 1, "")
		send("repeated epoch", 1, "")
		send("skipped epoch", 5, "")
		send("session at the end", 2, "", end)
		send("session has nothing", 3, "")
		send("session adds", 4, "", small)
		send("session forgets", 5, "small")
		send("session forgets what it has not", 6, "zstd")
		send("session forgets unknown topic", 7, "nowhere")
		send("session adds and forgets", 8, "small", small)
		send("session forgets the last", 9, "plain")
		send("session after all", 10, "small")
		send("session after the end", 11, "")
		id = send("another session", 0, "", plain, end).SessionID
		send("its replacement", 0, "", end)
		send("the replaced", 1, "")
		id = send("a third", 0, "", end).SessionID
		send("final", -1, "", end)
		send("after final", 1, "")
	}
}

func offsetsScript(c *conv) {
	listing := func(change func(*kmsg.ListOffsetsRequest), topic string, partition int32, timestamps ...int64) func(int16) kmsg.Request {
		return func(int16) kmsg.Request {
			req := kmsg.NewPtrListOffsetsRequest()
			req.ReplicaID = -1
			rt := kmsg.NewListOffsetsRequestTopic()
			rt.Topic = topic
			for _, ts := range timestamps {
				rp := kmsg.NewListOffsetsRequestTopicPartition()
				rp.Partition, rp.Timestamp, rp.MaxNumOffsets = partition, ts, 5
				rt.Partitions = append(rt.Partitions, rp)
			}
			req.Topics = append(req.Topics, rt)
			if change != nil {
				change(req)
			}
			return req
		}
	}
	for _, ts := range []int64{-1, -2, -3, -4, -5, -100, 0, 1, stamp, stamp + 1, stamp + 2, stamp + 3, 1<<63 - 1} {
		c.each(fmt.Sprint("plain at ", ts), listing(nil, "plain", 0, ts))
		c.each(fmt.Sprint("small at ", ts), listing(nil, "small", 0, ts))
		c.each(fmt.Sprint("empty at ", ts), listing(nil, "multi", 2, ts))
	}
	for _, change := range []struct {
		what string
		f    func(*kmsg.ListOffsetsRequest)
	}{
		{"read committed", func(r *kmsg.ListOffsetsRequest) { r.IsolationLevel = 1 }},
		{"isolation 3", func(r *kmsg.ListOffsetsRequest) { r.IsolationLevel = 3 }},
		{"replica 0", func(r *kmsg.ListOffsetsRequest) { r.ReplicaID = 0 }},
		{"replica 4", func(r *kmsg.ListOffsetsRequest) { r.ReplicaID = 4 }},
		{"replica -2", func(r *kmsg.ListOffsetsRequest) { r.ReplicaID = -2 }},
		{"replica -7", func(r *kmsg.ListOffsetsRequest) { r.ReplicaID = -7 }},
		{"epoch 0", func(r *kmsg.ListOffsetsRequest) { r.Topics[0].Partitions[0].CurrentLeaderEpoch = 0 }},
		{"epoch 9", func(r *kmsg.ListOffsetsRequest) { r.Topics[0].Partitions[0].CurrentLeaderEpoch = 9 }},
		{"epoch -5", func(r *kmsg.ListOffsetsRequest) { r.Topics[0].Partitions[0].CurrentLeaderEpoch = -5 }},
		{"no partitions", func(r *kmsg.ListOffsetsRequest) { r.Topics[0].Partitions = nil }},
		{"no topics", func(r *kmsg.ListOffsetsRequest) { r.Topics = nil }},
		{"twice", func(r *kmsg.ListOffsetsRequest) { r.Topics = append(r.Topics, r.Topics[0]) }},
		{"max offsets 0", func(r *kmsg.ListOffsetsRequest) { r.Topics[0].Partitions[0].MaxNumOffsets = 0 }},
		{"max offsets 1", func(r *kmsg.ListOffsetsRequest) { r.Topics[0].Partitions[0].MaxNumOffsets = 1 }},
		{"max offsets -1", func(r *kmsg.ListOffsetsRequest) { r.Topics[0].Partitions[0].MaxNumOffsets = -1 }},
		{"max offsets huge", func(r *kmsg.ListOffsetsRequest) { r.Topics[0].Partitions[0].MaxNumOffsets = 1<<31 - 1 }},
	} {
		c.each(change.what, listing(change.f, "plain", 0, -1))
		c.each(change.what+", small by time", listing(change.f, "small", 0, stamp+1))
	}
	c.each("same partition twice", listing(nil, "plain", 0, -1, -2))
	c.each("unknown topic", listing(nil, "nowhere", 0, -1))
	c.each("bad name", listing(nil, "bad name", 0, -1))
	c.each("unknown partition", listing(nil, "plain", 4, -1))
	c.each("negative partition", listing(nil, "plain", -1, -2))
	c.each("unknown partition, replica -2", listing(func(r *kmsg.ListOffsetsRequest) { r.ReplicaID = -2 }, "plain", 4, -1))

	epochs := func(topic string, partition, epoch, current, replica int32) func(int16) kmsg.Request {
		return func(int16) kmsg.Request {
			req := kmsg.NewPtrOffsetForLeaderEpochRequest()
			req.ReplicaID = replica
			rt, rp := kmsg.NewOffsetForLeaderEpochRequestTopic(), kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
			rp.Partition, rp.LeaderEpoch, rp.CurrentLeaderEpoch = partition, epoch, current
			rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
			req.Topics = append(req.Topics, rt)
			return req
		}
	}
	for _, epoch := range []int32{-2, -1, 0, 1, 5, 1<<31 - 1} {
		c.each(fmt.Sprint("epoch ", epoch), epochs("plain", 0, epoch, -1, -1))
		c.each(fmt.Sprint("empty log, epoch ", epoch), epochs("multi", 2, epoch, -1, -1))
		c.each(fmt.Sprint("current epoch ", epoch), epochs("plain", 0, 0, epoch, -1))
		c.each(fmt.Sprint("replica ", epoch), epochs("plain", 0, 0, -1, epoch))
		c.each(fmt.Sprint("unknown partition, replica ", epoch), epochs("plain", 7, 0, -1, epoch))
	}
	c.each("unknown topic", epochs("nowhere", 0, 0, -1, -1))
	c.each("bad name", epochs("bad name", 0, 0, -1, -1))
	c.each("negative partition", epochs("plain", -1, 0, -1, -1))
	c.each("nothing", func(int16) kmsg.Request { return kmsg.NewPtrOffsetForLeaderEpochRequest() })
	c.each("twice", func(v int16) kmsg.Request {
		req := epochs("plain", 0, 0, -1, -1)(v).(*kmsg.OffsetForLeaderEpochRequest)
		req.Topics = append(req.Topics, req.Topics[0])
		return req
	})
}

func metadataScript(c *conv) {
	about := func(change func(*kmsg.MetadataRequest), topics ...string) func(int16) kmsg.Request {
		return func(version int16) kmsg.Request {
			req := kmsg.NewPtrMetadataRequest()
			req.Topics = []kmsg.MetadataRequestTopic{}
			for _, topic := range topics {
				rt := kmsg.NewMetadataRequestTopic()
				rt.Topic = kmsg.StringPtr(strings.ReplaceAll(topic, "%", fmt.Sprint(version)))
				req.Topics = append(req.Topics, rt)
			}
			if change != nil {
				change(req)
			}
			return req
		}
	}
	operations := func(r *kmsg.MetadataRequest) {
		r.IncludeClusterAuthorizedOperations, r.IncludeTopicAuthorizedOperations = true, true
	}
	automatic := func(r *kmsg.MetadataRequest) { r.AllowAutoTopicCreation = true }
	c.each("all", about(func(r *kmsg.MetadataRequest) { r.Topics = nil }))
	c.each("none", about(nil))
	c.each("some", about(nil, "plain", "multi"))
	c.each("twice", about(nil, "plain", "plain"))
	c.each("internal", about(nil, "__consumer_offsets"))
	c.each("operations", about(operations, "plain"))
	c.each("operations of unknown", about(func(r *kmsg.MetadataRequest) { operations(r); r.AllowAutoTopicCreation = false }, "bad name"))
	c.each("bad name", about(automatic, "bad name"))
	c.each("bad name, no creation", about(nil, "bad name"))
	c.each("empty name", about(automatic, ""))
	c.each("dots", about(automatic, ".."))
	c.each("too long", about(automatic, strings.Repeat("x", 250)))
	c.each("unknown, no creation", func(version int16) kmsg.Request {
		if version < 4 {
			return nil // creates it
		}
		return about(nil, "nowhere")(version)
	})
	c.each("created", about(automatic, "auto-%"))
	c.each("created and known", about(automatic, "plain", "auto-too-%"))
	c.each("id", func(version int16) kmsg.Request {
		if version < 10 {
			return nil
		}
		return about(func(r *kmsg.MetadataRequest) { r.Topics[0].TopicID = [16]byte{1} }, "plain")(version)
	})
	c.each("id without name", func(version int16) kmsg.Request {
		if version < 10 {
			return nil
		}
		return about(func(r *kmsg.MetadataRequest) { r.Topics[0].TopicID, r.Topics[0].Topic = [16]byte{1}, nil }, "plain")(version)
	})
	c.each("no name", func(version int16) kmsg.Request {
		if version < 10 {
			return nil
		}
		return about(func(r *kmsg.MetadataRequest) { r.Topics[0].Topic = nil }, "plain")(version)
	})
	for _, include := range []bool{false, true} {
		c.each(fmt.Sprint("operations ", include), func(int16) kmsg.Request {
			req := kmsg.NewPtrDescribeClusterRequest()
			req.IncludeClusterAuthorizedOperations = include
			return req
		})
	}
}
