package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// javaDateFormat shows times as a SimpleDateFormat of Java with the pattern
// does, in English.
type javaDateFormat []dateField

// dateField is a run of one letter of the pattern, or a text.
type dateField struct {
	letter byte // 0: text
	width  int
	text   string
}

// dateLetters are the letters that mean something.
const dateLetters = "GyYMLwWDdFEuaHkKhmsSzZX"

// parseDateFormat reads a pattern such as yyyy-MM-dd HH:mm:ss:SSS.
func parseDateFormat(pattern string) (javaDateFormat, error) {
	var f javaDateFormat
	for i := 0; i < len(pattern); {
		c := pattern[i]
		switch {
		case c == '\'':
			text, next, err := quotedText(pattern, i)
			if err != nil {
				return nil, err
			}
			f, i = append(f, dateField{text: text}), next
		case strings.IndexByte(dateLetters, c) >= 0:
			n := 1
			for i+n < len(pattern) && pattern[i+n] == c {
				n++
			}
			if c == 'X' && n > 3 {
				return nil, exceptionf(illegalArgument, "invalid ISO 8601 format: length=%d", n)
			}
			f, i = append(f, dateField{letter: c, width: n}), i+n
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
			return nil, exceptionf(illegalArgument, "Illegal pattern character '%c'", c)
		default:
			f, i = append(f, dateField{text: string(c)}), i+1
		}
	}
	return f, nil
}

// quotedText reads a text in quotes, in which two quotes are one; two quotes
// alone are one as well.
func quotedText(pattern string, at int) (text string, next int, err error) {
	if strings.HasPrefix(pattern[at:], "''") {
		return "'", at + 2, nil
	}
	var b strings.Builder
	for i := at + 1; i < len(pattern); i++ {
		switch {
		case pattern[i] != '\'':
			b.WriteByte(pattern[i])
		case strings.HasPrefix(pattern[i:], "''"):
			b.WriteByte('\'')
			i++
		default:
			return b.String(), i + 1, nil
		}
	}
	return "", 0, exceptionf(illegalArgument, "Unterminated quote")
}

func (f javaDateFormat) format(t time.Time) string {
	var b strings.Builder
	for _, field := range f {
		if field.letter == 0 {
			b.WriteString(field.text)
		} else {
			b.WriteString(field.format(t))
		}
	}
	return b.String()
}

// format shows one field: as a name where it has one, else as a number of the
// width at least.
func (d dateField) format(t time.Time) string {
	number := func(n int) string { return fmt.Sprintf("%0*d", d.width, n) }
	long := func(text string) string {
		if d.width < 4 {
			return text[:3]
		}
		return text
	}
	yearOfWeek, week := usWeek(t)
	switch d.letter {
	case 'G':
		return "AD"
	case 'y', 'Y':
		year := t.Year()
		if d.letter == 'Y' {
			year = yearOfWeek
		}
		if d.width == 2 {
			year %= 100
		}
		return number(year)
	case 'M', 'L':
		if d.width >= 3 {
			return long(t.Month().String())
		}
		return number(int(t.Month()))
	case 'w':
		return number(week)
	case 'W':
		return number((t.Day()-1+int(t.AddDate(0, 0, 1-t.Day()).Weekday()))/7 + 1)
	case 'D':
		return number(t.YearDay())
	case 'd':
		return number(t.Day())
	case 'F':
		return number((t.Day()-1)/7 + 1)
	case 'E':
		return long(t.Weekday().String())
	case 'u':
		return number((int(t.Weekday())+6)%7 + 1)
	case 'a':
		return t.Format("PM")
	case 'H':
		return number(t.Hour())
	case 'k':
		return number((t.Hour()+23)%24 + 1)
	case 'K':
		return number(t.Hour() % 12)
	case 'h':
		return number((t.Hour()+11)%12 + 1)
	case 'm':
		return number(t.Minute())
	case 's':
		return number(t.Second())
	case 'S':
		return number(t.Nanosecond() / int(time.Millisecond))
	case 'z':
		return t.Format("MST")
	case 'Z':
		return t.Format("-0700")
	}
	return t.Format(map[int]string{1: "Z07", 2: "Z0700", 3: "Z07:00"}[d.width])
}

// usWeek numbers weeks as in the United States: they begin on Sunday, and the
// first is the one with January 1.
func usWeek(t time.Time) (year, week int) {
	january := func(year int) time.Time { return time.Date(year, 1, 1, 0, 0, 0, 0, t.Location()) }
	if next := january(t.Year() + 1); t.YearDay()+6-int(t.Weekday()) > next.AddDate(0, 0, -1).YearDay() {
		return t.Year() + 1, 1
	}
	return t.Year(), (t.YearDay()-1+int(january(t.Year()).Weekday()))/7 + 1
}

// javaFloat is a number as %.4f and its like of Java show it.
func javaFloat(v float64, digits int) string {
	text := strconv.FormatFloat(v, 'f', digits, 64)
	switch text {
	case "+Inf":
		return "Infinity"
	case "-Inf":
		return "-Infinity"
	}
	return text
}
