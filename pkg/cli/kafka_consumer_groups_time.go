package cli

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// time is the moment of --to-datetime or --by-duration, in milliseconds since
// 1970.
func (c *groupCommand) time() (int64, error) {
	text, ago := c.String(c.toDatetime), c.String(c.byDuration)
	if err := c.Err(); err != nil {
		return 0, err
	}
	if c.Has(c.toDatetime) {
		return parseJavaDatetime(text)
	}
	duration, err := parseJavaDuration(ago)
	if err != nil {
		return 0, err
	}
	return time.Now().UnixMilli() - duration, nil
}

// datetime is 2026-11-20T10:00:00.000 with a zone behind it, if any: Z, +01,
// +0100 or +01:00. What follows is not looked at.
var datetime = regexp.MustCompile(`^(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)\.(\d+)(?:Z|([+-])(\d\d)(?::?(\d\d))?)`)

const parseException = "java.text.ParseException"

// parseJavaDatetime reads a date the way Kafka does with SimpleDateFormat:
// UTC when no zone is given, and the digits behind the point are a number of
// milliseconds.
func parseJavaDatetime(text string) (int64, error) {
	_, behindT, found := strings.Cut(text, "T")
	behindT, _, _ = strings.Cut(behindT, "T")
	if !found || behindT == "" {
		return 0, exceptionf(parseException, "Error parsing timestamp. It does not contain a 'T' according to ISO8601 format")
	}
	if !strings.ContainsAny(behindT, "+-Z") {
		text += "Z"
	}
	unparseable := exceptionf(parseException, "Unparseable date: \"%s\"", text)
	match := datetime.FindStringSubmatch(text)
	if match == nil {
		return 0, unparseable
	}
	var n [11]int
	for i, word := range match {
		if i == 0 || i == 8 || word == "" {
			continue
		}
		number, err := strconv.ParseInt(word, 10, 32)
		if err != nil {
			return 0, unparseable
		}
		n[i] = int(number)
	}
	at := time.Date(n[1], time.Month(n[2]), n[3], n[4], n[5], n[6], 0, time.UTC)
	if at.Year() != n[1] || int(at.Month()) != n[2] || at.Day() != n[3] || n[4] > 23 || n[5] > 59 || n[6] > 59 || n[7] > 999 || n[9] > 23 || n[10] > 59 {
		return 0, unparseable
	}
	zone := time.Duration(n[9])*time.Hour + time.Duration(n[10])*time.Minute
	if match[8] == "+" {
		zone = -zone
	}
	return at.Add(zone).UnixMilli() + int64(n[7]), nil
}

// isoDuration is PnDTnHnMn.nS, each part with a sign if need be.
var isoDuration = regexp.MustCompile(`(?i)^([-+]?)P(?:([-+]?[0-9]+)D)?(T(?:([-+]?[0-9]+)H)?(?:([-+]?[0-9]+)M)?(?:([-+]?[0-9]+)(?:[.,]([0-9]{0,9}))?S)?)?$`)

// parseJavaDuration reads a duration as java.time.Duration does, in
// milliseconds.
func parseJavaDuration(text string) (int64, error) {
	unparseable := exceptionf("java.time.format.DateTimeParseException", "Text cannot be parsed to a Duration")
	m := isoDuration.FindStringSubmatch(text)
	if m == nil || strings.EqualFold(m[3], "T") || m[2]+m[4]+m[5]+m[6] == "" {
		return 0, unparseable
	}
	total := 0.0
	for _, part := range []struct {
		word string
		ms   float64
	}{{m[2], 86400e3}, {m[4], 3600e3}, {m[5], 60e3}, {m[6], 1e3}} {
		if part.word == "" {
			continue
		}
		n, err := strconv.ParseInt(part.word, 10, 64)
		if err != nil {
			return 0, unparseable
		}
		total += float64(n) * part.ms
	}
	if m[7] != "" {
		fraction, _ := strconv.ParseFloat("0."+m[7], 64) // digits only
		if strings.HasPrefix(m[6], "-") {
			fraction = -fraction
		}
		total += fraction * 1e3
	}
	if math.Abs(total) > 1<<53 {
		return 0, exceptionf("java.lang.ArithmeticException", "long overflow")
	}
	if m[1] == "-" {
		total = -total
	}
	return int64(total), nil
}
