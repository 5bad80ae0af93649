package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// value is one parsed value. The zero value is null.
type value struct {
	set    bool
	text   string // of a string, class or password; trimmed
	number int64
	real   float64
	truth  bool
	list   []string
}

// hiddenText stands for a password wherever values are shown.
const hiddenText = "[hidden]"

// parse reads a value of the key's type and checks it.
func (k *Key) parse(raw string) (value, error) {
	v, err := k.parseType(raw)
	if err != nil {
		return value{}, err
	}
	if k.Check != nil {
		if err := k.Check.ensure(k, v); err != nil {
			return value{}, err
		}
	}
	return v, nil
}

// parseType reads a value without the key's check.
func (k *Key) parseType(raw string) (value, error) {
	text := trim(raw)
	v := value{set: true, text: text}
	switch k.Type {
	case Bool:
		switch {
		case strings.EqualFold(text, "true"):
			v.truth = true
		case !strings.EqualFold(text, "false"):
			return value{}, invalid(k, raw, "Expected value to be either true or false")
		}
	case Int, Short, Long:
		number, err := strconv.ParseInt(text, 10, bits(k.Type))
		if err != nil {
			return value{}, invalid(k, raw, "Not a number of type "+k.Type.String())
		}
		v.number = number
	case Double:
		real, err := parseDouble(text)
		if err != nil {
			return value{}, invalid(k, raw, "Not a number of type DOUBLE")
		}
		v.real = real
	case List:
		v.list = splitList(text)
	case Class:
		if !knownClasses[text] {
			return value{}, invalid(k, raw, "Class "+text+" could not be found.")
		}
	}
	return v, nil
}

// knownClasses are the classes that may be named, because what they do is
// done here: those of Kafka's own defaults.
var knownClasses = map[string]bool{
	"org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder": true,
}

func bits(t Type) int {
	switch t {
	case Short:
		return 16
	case Int:
		return 32
	default:
		return 64
	}
}

// trim removes what String.trim of Java removes: every character up to the
// blank.
func trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
}

// splitList splits on commas with white space around them. As with
// String.split(regex, -1) of Java, empty elements stay.
func splitList(text string) []string {
	if text == "" {
		return []string{}
	}
	parts := strings.Split(text, ",")
	for i := range parts {
		if i > 0 {
			parts[i] = strings.TrimLeft(parts[i], " \t\n\v\f\r")
		}
		if i < len(parts)-1 {
			parts[i] = strings.TrimRight(parts[i], " \t\n\v\f\r")
		}
	}
	return parts
}

// parseDouble reads what Double.parseDouble of Java reads, of the forms that
// people write.
func parseDouble(text string) (float64, error) {
	if strings.ContainsAny(text, "_") {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	unsigned := strings.TrimLeft(text, "+-")
	if strings.ContainsAny(unsigned, "iInN") && unsigned != "NaN" && unsigned != "Infinity" {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	if last := len(text) - 1; last > 0 && strings.ContainsRune("dDfF", rune(text[last])) && !strings.HasPrefix(unsigned, "0x") {
		text = text[:last]
	}
	real, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(real, 0) {
		return 0, err
	}
	return real, nil
}

// formatDouble writes a number as Double.toString of Java does.
func formatDouble(real float64) string {
	switch {
	case math.IsNaN(real):
		return "NaN"
	case math.IsInf(real, 1):
		return "Infinity"
	case math.IsInf(real, -1):
		return "-Infinity"
	case real == 0:
		if math.Signbit(real) {
			return "-0.0"
		}
		return "0.0"
	}
	if size := math.Abs(real); size >= 1e-3 && size < 1e7 {
		text := strconv.FormatFloat(real, 'f', -1, 64)
		if !strings.Contains(text, ".") {
			text += ".0"
		}
		return text
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(real, 'E', -1, 64), "E")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	number, _ := strconv.Atoi(exponent)
	return mantissa + "E" + strconv.Itoa(number)
}

// show is the value as Kafka turns it into text for answers: lists joined
// with commas, passwords hidden. ok is false for null.
func (k *Key) show(v value) (text string, ok bool) {
	if !v.set {
		return "", false
	}
	if k.Type == Password {
		return hiddenText, true
	}
	return k.plain(v), true
}

// plain is the value as it would be written in a file.
func (k *Key) plain(v value) string {
	switch k.Type {
	case Bool:
		return strconv.FormatBool(v.truth)
	case Int, Short, Long:
		return strconv.FormatInt(v.number, 10)
	case Double:
		return formatDouble(v.real)
	case List:
		return strings.Join(v.list, ",")
	default:
		return v.text
	}
}

// defaultValue is the key's default; null when there is none.
func (k *Key) defaultValue() value {
	if k.Default == Null {
		return value{}
	}
	v, err := k.parse(k.Default)
	if err != nil {
		panic("the default of " + k.Name + " is not valid: " + err.Error())
	}
	return v
}
