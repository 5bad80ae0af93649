package logcleaner

import (
	"math"

	"gregor/pkg/commitlog"
)

// groupSegments divides segments into groups that are each rewritten into one
// segment: as many as fit into the size of a segment, into its indexes, and
// into the offsets that those can express. No later offset than end lies in
// the last one.
func groupSegments(segments []commitlog.Segment, opts *commitlog.Options, end int64) (groups [][]commitlog.Segment, err error) {
	for len(segments) > 0 {
		n, size := 1, segments[0].Size()
		offsets, times, err := segments[0].IndexBytes()
		if err != nil {
			return nil, err
		}
		for ; n < len(segments); n++ {
			o, t, err := segments[n].IndexBytes()
			if err != nil {
				return nil, err
			}
			size, offsets, times = size+segments[n].Size(), offsets+o, times+t
			if size > int64(opts.SegmentBytes) || offsets > int64(opts.SegmentIndexBytes) || times > int64(opts.SegmentIndexBytes) {
				break
			}
			behind := end
			if n+1 < len(segments) {
				behind = segments[n+1].Base()
			}
			if segments[n].Size() > 0 && behind-1-segments[0].Base() > math.MaxInt32 {
				break
			}
		}
		groups = append(groups, segments[:n:n])
		segments = segments[n:]
	}
	return groups, nil
}
