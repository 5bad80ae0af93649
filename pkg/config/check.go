package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// check is what a value must fulfil beside its type.
type check interface {
	ensure(k *Key, v value) error
	form() string // what is allowed, to go on after "a whole number" and the like
}

// bounds are the limits of a number.
type bounds struct {
	low, high float64
	hasHigh   bool
}

func atLeast(low float64) check { return bounds{low: low} }

func between(low, high float64) check { return bounds{low: low, high: high, hasHigh: true} }

func (b bounds) ensure(k *Key, v value) error {
	if !v.set {
		return nil
	}
	number := v.real
	if k.Type != Double {
		number = float64(v.number)
	}
	switch {
	case number < b.low:
		return invalid(k, k.plain(v), "Value must be at least "+b.number(b.low))
	case b.hasHigh && number > b.high:
		return invalid(k, k.plain(v), "Value must be no more than "+b.number(b.high))
	}
	return nil
}

func (b bounds) form() string {
	if b.hasHigh {
		return "from " + b.number(b.low) + " to " + b.number(b.high)
	}
	return "of at least " + b.number(b.low)
}

func (bounds) number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// names are the words that a string may be, or the elements of a list.
type names []string

func oneOf(words ...string) check  { return names(words) }
func listOf(words ...string) check { return names(words) }

func (n names) ensure(k *Key, v value) error {
	words := v.list
	if k.Type == String {
		words = []string{v.text}
	}
	for _, word := range words {
		if !slices.Contains(n, word) {
			return invalid(k, word, "String must be one of: "+strings.Join(n, ", "))
		}
	}
	return nil
}

func (n names) form() string { return "one of " + strings.Join(n, ", ") }

// checkFunc is a check of its own.
type checkFunc struct {
	allowed string
	run     func(k *Key, v value) error
}

func (c checkFunc) ensure(k *Key, v value) error { return c.run(k, v) }
func (c checkFunc) form() string                 { return c.allowed }

// versionName is the name of a version that brokers know.
var versionName check = checkFunc{"a version such as 2.8, 2.4-IV1 or 0.10.2", func(k *Key, v value) error {
	if _, err := ParseVersion(v.text); err != nil {
		return invalid(k, v.text, err.Error())
	}
	return nil
}}

// voters is the list of controller.quorum.voters.
var voters check = checkFunc{"id@host:port, separated by commas", func(k *Key, v value) error {
	for _, voter := range v.list {
		if !voterForm.MatchString(voter) {
			e := configError("Invalid configuration value for controller.quorum.voters. Each entry should be in the form `{id}@{host}:{port}`.")
			e.Key, e.Value, e.Form = k.Name, voter, k.Check.form()
			return e
		}
	}
	return nil
}}

var voterForm = regexp.MustCompile(`^[0-9]+@[^:]*:[0-9]+$`)

// The replica selectors of Kafka, which are all that there are here.
const (
	LeaderSelector    = "org.apache.kafka.common.replica.LeaderSelector"
	RackAwareSelector = "org.apache.kafka.common.replica.RackAwareReplicaSelector"
)

// replicaSelector is the name of a class that is known here.
var replicaSelector check = checkFunc{LeaderSelector + " or " + RackAwareSelector, func(k *Key, v value) error {
	if v.set && v.text != LeaderSelector && v.text != RackAwareSelector {
		return invalid(k, v.text, "Class "+v.text+" could not be found.")
	}
	return nil
}}

// throttledReplicas is a list of partition:broker pairs, or *.
var throttledReplicas check = checkFunc{"* or partition:broker pairs, separated by commas", func(k *Key, v value) error {
	proper := !slices.ContainsFunc(v.list, func(pair string) bool { return !isReplicaPair(trim(pair)) }) ||
		len(v.list) > 0 && trim(v.list[0]) == "*"
	if !proper {
		return invalid(k, "["+strings.Join(v.list, ", ")+"]", fmt.Sprintf("%s must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...", k.Name))
	}
	return nil
}}

// isReplicaPair reports whether text is digits, a colon, digits, or nothing.
func isReplicaPair(text string) bool {
	if text == "" {
		return true
	}
	partition, broker, ok := strings.Cut(text, ":")
	return ok && isDigits(partition) && isDigits(broker)
}

func isDigits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// form is what a value of the key may be, in words.
func (k *Key) form() string {
	text := map[Type]string{Bool: "true or false", Int: "a whole number", Short: "a whole number", Long: "a whole number",
		Double: "a number", String: "text", List: "words separated by commas", Class: "a class known here", Password: "text"}[k.Type]
	if k.Check != nil && isNumber(k.Type) {
		text += " " + k.Check.form()
	} else if k.Check != nil {
		text = k.Check.form()
	}
	if isNumber(k.Type) && k.Default != Null {
		text += ", such as " + k.Default
	}
	return text
}

func isNumber(t Type) bool { return t == Int || t == Short || t == Long || t == Double }
