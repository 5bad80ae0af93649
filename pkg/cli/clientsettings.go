package cli

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/pkg/config"
)

// clientKey is one setting of a Kafka client.
type clientKey struct {
	kind  clientKind
	value string // the default
	least int64  // of a number
}

// clientKind is the type of a client's setting, as errors name it.
type clientKind string

const (
	clientInt    clientKind = "INT"
	clientLong   clientKind = "LONG"
	clientString clientKind = "STRING"
	clientDouble clientKind = "DOUBLE"
)

// adminKeys are the settings that an AdminClient over PLAINTEXT reads. The
// numbers that have no effect here are still checked.
var adminKeys = map[string]clientKey{
	"bootstrap.servers":                      {clientString, "", 0},
	"client.dns.lookup":                      {clientString, "use_all_dns_ips", 0},
	"client.id":                              {clientString, "", 0},
	"connections.max.idle.ms":                {clientLong, "300000", -1 << 62},
	"default.api.timeout.ms":                 {clientInt, "60000", 0},
	"metadata.max.age.ms":                    {clientLong, "300000", 0},
	"metric.reporters":                       {clientString, "", 0},
	"metrics.num.samples":                    {clientInt, "2", 1},
	"metrics.recording.level":                {clientString, "INFO", 0},
	"metrics.sample.window.ms":               {clientLong, "30000", 0},
	"receive.buffer.bytes":                   {clientInt, "65536", -1},
	"reconnect.backoff.max.ms":               {clientLong, "1000", 0},
	"reconnect.backoff.ms":                   {clientLong, "50", 0},
	"request.timeout.ms":                     {clientInt, "30000", 0},
	"retries":                                {clientInt, "2147483647", 0},
	"retry.backoff.ms":                       {clientLong, "100", 0},
	"security.protocol":                      {clientString, "PLAINTEXT", 0},
	"security.providers":                     {clientString, "", 0},
	"send.buffer.bytes":                      {clientInt, "131072", -1},
	"socket.connection.setup.timeout.max.ms": {clientLong, "30000", 0},
	"socket.connection.setup.timeout.ms":     {clientLong, "10000", 0},
}

// readClientProperties reads the file behind --command-config and its like;
// no name gives no properties.
func readClientProperties(path string) (map[string]string, error) {
	if path == "" {
		return nil, nil
	}
	properties, err := config.ReadProperties(path)
	if err != nil {
		return nil, err
	}
	return properties.Map(), nil
}

// number reads a setting that is checked to be one.
func (k clientKey) number(name, text string) (int64, error) {
	bits := 64
	if k.kind == clientInt {
		bits = 32
	}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, bits)
	if err != nil {
		return 0, exceptionf(configException, "Invalid value %s for configuration %s: Not a number of type %s", text, name, k.kind)
	}
	if n < k.least {
		return 0, exceptionf(configException, "Invalid value %s for configuration %s: Value must be at least %d", text, name, k.least)
	}
	return n, nil
}

// parseAdminSettings checks the properties of an AdminClient and takes what
// matters here.
func parseAdminSettings(properties map[string]string) (adminSettings, error) {
	numbers, text := map[string]int64{}, map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(adminKeys)) {
		key := adminKeys[name]
		value, given := properties[name]
		if !given {
			value = key.value
		}
		text[name] = strings.TrimSpace(value)
		if key.kind == clientString {
			continue
		}
		n, err := key.number(name, value)
		if err != nil {
			return adminSettings{}, err
		}
		numbers[name] = n
	}
	if err := checkSecurityProtocol(text["security.protocol"]); err != nil {
		return adminSettings{}, causedBy(err, kafkaException, "Failed to create new KafkaAdminClient")
	}
	if numbers["default.api.timeout.ms"] < numbers["request.timeout.ms"] {
		if _, given := properties["default.api.timeout.ms"]; given {
			return adminSettings{}, causedBy(exceptionf(configException,
				"The specified value of default.api.timeout.ms must be no smaller than the value of request.timeout.ms."),
				kafkaException, "Failed to create new KafkaAdminClient")
		}
		numbers["default.api.timeout.ms"] = numbers["request.timeout.ms"]
	}
	ms := func(name string) time.Duration { return time.Duration(numbers[name]) * time.Millisecond }
	settings := adminSettings{clientID: text["client.id"], requestTimeout: ms("request.timeout.ms"),
		apiTimeout: ms("default.api.timeout.ms"), retryBackoff: ms("retry.backoff.ms"),
		reconnectBackoff: ms("reconnect.backoff.ms"), reconnectBackoffMax: ms("reconnect.backoff.max.ms"),
		connectTimeout: ms("socket.connection.setup.timeout.ms")}
	if settings.clientID == "" {
		settings.clientID = "adminclient-1"
	}
	return settings, nil
}

// warnUnknownKeys tells of settings that a client does not read.
func warnUnknownKeys(log *logrus.Entry, known map[string]clientKey, properties map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if _, ok := known[name]; !ok {
			log.Warnf("The configuration '%s' was supplied but isn't a known config.", name)
		}
	}
}

// checkSecurityProtocol refuses what the tools cannot speak.
func checkSecurityProtocol(name string) error {
	switch strings.ToUpper(name) {
	case "PLAINTEXT":
		return nil
	case "SSL", "SASL_PLAINTEXT", "SASL_SSL":
		return exceptionf(configException, "security.protocol=%s: the tools connect over PLAINTEXT only", name)
	}
	return exceptionf(illegalArgument, "No enum constant org.apache.kafka.common.security.auth.SecurityProtocol.%s", strings.ToUpper(name))
}
