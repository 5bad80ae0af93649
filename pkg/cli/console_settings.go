package cli

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/pkg/logging"
)

// producerKeys and consumerKeys are the settings of Kafka's producer and
// consumer of 2.8 that the console tools read or check, with their defaults.
var producerKeys = map[string]clientKey{
	"acks":                                  {clientString, "1", 0},
	"batch.size":                            {clientInt, "16384", 0},
	"buffer.memory":                         {clientLong, "33554432", 0},
	"compression.type":                      {clientString, "none", 0},
	"delivery.timeout.ms":                   {clientInt, "120000", 0},
	"enable.idempotence":                    {clientString, "false", 0},
	"interceptor.classes":                   {clientString, "", 0},
	"key.serializer":                        {clientString, "", 0},
	"linger.ms":                             {clientLong, "0", 0},
	"max.block.ms":                          {clientLong, "60000", 0},
	"max.in.flight.requests.per.connection": {clientInt, "5", 1},
	"max.request.size":                      {clientInt, "1048576", 0},
	"metadata.max.idle.ms":                  {clientLong, "300000", 5000},
	"partitioner.class":                     {clientString, "", 0},
	"transaction.timeout.ms":                {clientInt, "60000", math.MinInt32},
	"transactional.id":                      {clientString, "", 0},
	"value.serializer":                      {clientString, "", 0},
}

var consumerKeys = map[string]clientKey{
	"allow.auto.create.topics":      {clientString, "true", 0},
	"auto.commit.interval.ms":       {clientInt, "5000", 0},
	"auto.offset.reset":             {clientString, "latest", 0},
	"check.crcs":                    {clientString, "true", 0},
	"client.rack":                   {clientString, "", 0},
	"enable.auto.commit":            {clientString, "true", 0},
	"exclude.internal.topics":       {clientString, "true", 0},
	"fetch.max.bytes":               {clientInt, "52428800", 0},
	"fetch.max.wait.ms":             {clientInt, "500", 0},
	"fetch.min.bytes":               {clientInt, "1", 0},
	"group.id":                      {clientString, "", 0},
	"group.instance.id":             {clientString, "", 0},
	"heartbeat.interval.ms":         {clientInt, "3000", math.MinInt32},
	"interceptor.classes":           {clientString, "", 0},
	"isolation.level":               {clientString, "read_uncommitted", 0},
	"key.deserializer":              {clientString, "", 0},
	"max.partition.fetch.bytes":     {clientInt, "1048576", 0},
	"max.poll.interval.ms":          {clientInt, "300000", 1},
	"max.poll.records":              {clientInt, "500", 1},
	"partition.assignment.strategy": {clientString, "org.apache.kafka.clients.consumer.RangeAssignor", 0},
	"session.timeout.ms":            {clientInt, "10000", math.MinInt32},
	"value.deserializer":            {clientString, "", 0},
}

// clientValues are the settings of a client after the checks of their types.
type clientValues struct {
	numbers map[string]int64
	texts   map[string]string
	given   map[string]string // as they were given
}

// parseClientValues checks properties against the keys of a client and those
// that all clients have. A key that has no meaning is told of in a WARN.
func parseClientValues(log *logrus.Entry, keys map[string]clientKey, properties map[string]string) (*clientValues, error) {
	all := maps.Clone(adminKeys)
	maps.Copy(all, keys)
	v := &clientValues{numbers: map[string]int64{}, texts: map[string]string{}, given: properties}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		key := all[name]
		value, given := properties[name]
		if !given {
			value = key.value
		}
		v.texts[name] = strings.TrimSpace(value)
		if key.kind == clientString {
			continue
		}
		n, err := key.number(name, value)
		if err != nil {
			return nil, err
		}
		v.numbers[name] = n
	}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if _, known := all[name]; !known {
			log.Warnf("The configuration '%s' was supplied but isn't a known config.", name)
		}
	}
	return v, nil
}

func (v *clientValues) ms(name string) time.Duration {
	return time.Duration(v.numbers[name]) * time.Millisecond
}

// boolean reads a setting that is true or false, in any case.
func (v *clientValues) boolean(name string) (bool, error) {
	switch strings.ToLower(v.texts[name]) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, exceptionf(configException, "Invalid value %s for configuration %s: Expected value to be either true or false", v.texts[name], name)
}

// oneOf checks that a setting is one of the words that are allowed.
func (v *clientValues) oneOf(name string, words ...string) (string, error) {
	if slices.Contains(words, v.texts[name]) {
		return v.texts[name], nil
	}
	return "", exceptionf(configException, "Invalid value %s for configuration %s: String must be one of: %s", v.texts[name], name, strings.Join(words, ", "))
}

// consoleLoggers write the tools' WARN and ERROR lines to stderr.
func consoleLoggers(env *Env) *logging.Loggers { return logging.New(env.Stderr) }

// commonOptions are the kgo options that producer and consumer share.
func commonOptions(ctx context.Context, loggers *logging.Loggers, v *clientValues, servers, label, clientID string) (*networkClient, []kgo.Opt, error) {
	if err := checkSecurityProtocol(v.texts["security.protocol"]); err != nil {
		return nil, nil, err
	}
	nodes, err := parseBootstrap(ctx, servers, loggers.Logger("org.apache.kafka.clients.ClientUtils"))
	if err != nil {
		return nil, nil, err
	}
	seeds := make([]string, len(nodes))
	for i, n := range nodes {
		seeds[i] = net.JoinHostPort(n.host, strconv.Itoa(int(n.port)))
	}
	network := newNetworkClient(label, loggers.Logger("org.apache.kafka.clients.NetworkClient"), nodes, v)
	retryBackoff := max(v.ms("retry.backoff.ms"), time.Millisecond)
	return network, []kgo.Opt{
		kgo.SeedBrokers(seeds...),
		kgo.ClientID(clientID),
		kgo.SoftwareNameAndVersion("gregor", "2.8.2"),
		kgo.Dialer(network.dial),
		kgo.RetryBackoffFn(func(int) time.Duration { return retryBackoff }),
		kgo.MetadataMaxAge(max(v.ms("metadata.max.age.ms"), time.Second)),
		kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.RequestTimeoutOverhead(min(max(v.ms("request.timeout.ms"), 100*time.Millisecond), 15*time.Minute)),
		kgo.ConnIdleTimeout(max(v.ms("connections.max.idle.ms"), time.Second)),
	}, nil
}

// keyValues reads --property and its like: "key=value", where the value may
// be left out.
func keyValues(args []string) (map[string]string, error) {
	properties := map[string]string{}
	for _, arg := range args {
		if arg == "" {
			continue
		}
		key, value, _ := strings.Cut(arg, "=")
		if key == "" {
			return nil, exceptionf(illegalArgument, "Invalid command line properties: %s", strings.Join(args, " "))
		}
		properties[key] = value
	}
	return properties, nil
}

// lengthOf is how the producer's error line shows a key or value.
func lengthOf(b []byte) string {
	if b == nil {
		return "null"
	}
	return fmt.Sprintf("%d bytes", len(b))
}
