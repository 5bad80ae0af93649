package logcleaner

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Stats is what one cleaning did.
type Stats struct {
	Started time.Time
	Indexed time.Time // the map of keys was complete
	Ended   time.Time

	MapBytesRead    int64
	MapMessagesRead int64
	BytesRead       int64
	MessagesRead    int64
	BytesWritten    int64
	MessagesWritten int64
	InvalidMessages int64 // without a key

	BufferUtilization float64 // share of the map's slots that were taken
}

// report is Kafka's block of lines about a cleaning.
func (s *Stats) report(thread int, log string, from, to int64) string {
	seconds := s.Ended.Sub(s.Started).Seconds()
	indexing := s.Indexed.Sub(s.Started).Seconds()
	cleaning := seconds - indexing
	var b strings.Builder
	fmt.Fprintf(&b, "\n\tLog cleaner thread %d cleaned log %s (dirty section = [%d, %d])\n", thread, log, from, to)
	fmt.Fprintf(&b, "\t%s MB of log processed in %s seconds (%s MB/sec).\n", grouped(mb(s.BytesRead)), grouped(seconds), grouped(mb(s.BytesRead)/seconds))
	fmt.Fprintf(&b, "\tIndexed %s MB in %s seconds (%s Mb/sec, %s%% of total time)\n", grouped(mb(s.MapBytesRead)), decimal(indexing), grouped(mb(s.MapBytesRead)/indexing), decimal(100*indexing/seconds))
	fmt.Fprintf(&b, "\tBuffer utilization: %s%%\n", decimal(100*s.BufferUtilization))
	fmt.Fprintf(&b, "\tCleaned %s MB in %s seconds (%s Mb/sec, %s%% of total time)\n", grouped(mb(s.BytesRead)), decimal(cleaning), grouped(mb(s.BytesRead)/cleaning), decimal(100*cleaning/seconds))
	fmt.Fprintf(&b, "\tStart size: %s MB (%s messages)\n", grouped(mb(s.BytesRead)), separated(strconv.FormatInt(s.MessagesRead, 10)))
	fmt.Fprintf(&b, "\tEnd size: %s MB (%s messages)\n", grouped(mb(s.BytesWritten)), separated(strconv.FormatInt(s.MessagesWritten, 10)))
	fmt.Fprintf(&b, "\t%s%% size reduction (%s%% fewer messages)\n", decimal(100*(1-float64(s.BytesWritten)/float64(s.BytesRead))), decimal(100*(1-float64(s.MessagesWritten)/float64(s.MessagesRead))))
	return b.String()
}

func mb(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// decimal is a number with one decimal, as Java writes it.
func decimal(v float64) string {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "Infinity"
	case math.IsInf(v, -1):
		return "-Infinity"
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}

// grouped is decimal with commas between the thousands.
func grouped(v float64) string { return separated(decimal(v)) }

func separated(number string) string {
	whole, fraction, _ := strings.Cut(number, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	if whole == "" || whole[0] > '9' {
		return number // no number
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction != "" {
		whole += "." + fraction
	}
	return sign + whole
}
