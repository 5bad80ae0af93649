package commitlog

import (
	"math"

	"gregor/pkg/compress"
	"gregor/pkg/record"
)

// Options are a topic's settings as far as its logs need them. They change
// while a log is open (Log.UpdateOptions).
type Options struct {
	SegmentBytes       int
	SegmentMs          int64
	SegmentJitterMs    int64
	SegmentIndexBytes  int
	IndexIntervalBytes int
	MaxMessageBytes    int

	Delete         bool
	RetentionMs    int64 // negative is for ever
	RetentionBytes int64 // negative is without bound

	Compact                bool
	MinCompactionLagMs     int64
	MaxCompactionLagMs     int64 // 0 is without bound
	MinCleanableDirtyRatio float64
	DeleteRetentionMs      int64

	FlushMessages     int64
	FlushMs           int64
	FileDeleteDelayMs int64
	Preallocate       bool

	LogAppendTime            bool
	TimestampDifferenceMaxMs int64
	CompressionType          string // producer, uncompressed, gzip, snappy, lz4, zstd
	OldFormat                OldFormat
	RefuseZstd               bool // other brokers do not know it yet

	ProducerIDExpirationMs int64
}

// DefaultOptions are those of a broker without any setting.
func DefaultOptions() Options {
	return Options{
		SegmentBytes:             1 << 30,
		SegmentMs:                7 * 24 * 3600 * 1000,
		SegmentIndexBytes:        10 << 20,
		IndexIntervalBytes:       4096,
		MaxMessageBytes:          1048588,
		Delete:                   true,
		RetentionMs:              7 * 24 * 3600 * 1000,
		RetentionBytes:           -1,
		MinCleanableDirtyRatio:   0.5,
		DeleteRetentionMs:        24 * 3600 * 1000,
		FlushMessages:            math.MaxInt64,
		FlushMs:                  math.MaxInt64,
		FileDeleteDelayMs:        60000,
		TimestampDifferenceMaxMs: math.MaxInt64,
		CompressionType:          "producer",
		ProducerIDExpirationMs:   7 * 24 * 3600 * 1000,
	}
}

// OldFormat is a message format below 2 that a log is kept in.
type OldFormat int8

const (
	NoOldFormat OldFormat = iota // format 2
	Format0                      // message.format.version below 0.10
	Format1                      // below 0.11
)

// Magic is the number of the message format that is appended.
func (o *Options) Magic() int8 {
	if o.OldFormat == NoOldFormat {
		return record.Magic
	}
	return int8(o.OldFormat - Format0)
}

// OldFormatOf is the setting for a magic number.
func OldFormatOf(magic int8) OldFormat {
	if magic >= record.Magic {
		return NoOldFormat
	}
	return Format0 + OldFormat(magic)
}

// targetCodec is the codec that batches are stored in.
func (o *Options) targetCodec(source compress.Codec) compress.Codec {
	if codec, ok := compress.ParseCodec(o.CompressionType); ok {
		return codec
	}
	return source // "producer"
}

// segmentMsMax is the age at which a segment is rolled, before jitter.
func (o *Options) segmentMsMax() int64 {
	if o.Compact && o.MaxCompactionLagMs > 0 {
		return min(o.MaxCompactionLagMs, o.SegmentMs)
	}
	return o.SegmentMs
}
