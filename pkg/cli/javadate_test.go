package cli

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestJavaDates holds what SimpleDateFormat of Java prints.
func TestJavaDates(t *testing.T) {
	at := time.Date(2027, 1, 3, 0, 4, 5, 6_000_000, time.UTC) // a Sunday
	for pattern, want := range map[string]string{
		"yyyy-MM-dd HH:mm:ss:SSS":    "2027-01-03 00:04:05:006",
		"yy/M/d H:m:s.S":             "27/1/3 0:4:5.6",
		"EEE, d MMM yyyy h:mm a z":   "Sun, 3 Jan 2027 12:04 AM UTC",
		"EEEE MMMM":                  "Sunday January",
		"kk K u D F w W Y G":         "24 0 7 3 1 2 2 2027 AD",
		"Z X XXX":                    "+0000 Z Z",
		"'at' h 'o''clock' ''yyyy''": "at 12 o'clock '2027'",
	} {
		f, err := parseDateFormat(pattern)
		require.NoError(t, err, pattern)
		require.Equal(t, want, f.format(at), pattern)
	}
	f, err := parseDateFormat("Y-w")
	require.NoError(t, err)
	require.Equal(t, "2027-1", f.format(time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)))
	for pattern, want := range map[string]string{"bbb": "Illegal pattern character 'b'", "'x": "Unterminated quote", "XXXX": "invalid ISO 8601 format: length=4"} {
		_, err := parseDateFormat(pattern)
		require.EqualError(t, err, want)
	}
}
