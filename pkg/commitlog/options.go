package commitlog

import (
	"math"

	"gregor/pkg/compress"
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
