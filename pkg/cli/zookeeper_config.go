package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/pkg/config"
	"gregor/pkg/zookeeper/server"
)

// zkProperties is what a ZooKeeper server is told: its file, and behind it
// the system properties that KAFKA_OPTS carries. Keys of the file that have
// no meaning in it become system properties called zookeeper.KEY, which is
// how half of ZooKeeper's settings come in; the file wins.
type zkProperties struct {
	file   *config.Properties
	system map[string]string
}

// zkJavaError is an error with the class and text that ZooKeeper shows, and
// what we have to add.
type zkJavaError struct{ class, text, hint string }

func (e *zkJavaError) Error() string {
	if e.hint != "" {
		return e.class + ": " + e.text + "\n" + e.hint
	}
	return e.class + ": " + e.text
}

func zkIllegal(format string, args ...any) error {
	return &zkJavaError{class: "java.lang.IllegalArgumentException", text: fmt.Sprintf(format, args...)}
}

// systemProperties reads the -D switches of JVM options; others mean nothing
// here.
func systemProperties(opts string) map[string]string {
	system := map[string]string{}
	for _, word := range strings.Fields(opts) {
		if definition, ok := strings.CutPrefix(word, "-D"); ok {
			key, value, _ := strings.Cut(definition, "=")
			system[key] = value
		}
	}
	return system
}

func (p *zkProperties) get(key string) string {
	value, _ := p.file.Get(key)
	return strings.TrimSpace(value)
}

// systemKey is a setting that may come as a system property zookeeper.KEY,
// too.
func (p *zkProperties) systemKey(key string) string {
	if value, ok := p.file.Get(key); ok {
		return strings.TrimSpace(value)
	}
	return p.system["zookeeper."+key]
}

// number parses a whole number; an absent key gives the default, an empty
// one does not.
func (p *zkProperties) number(key string, byDefault int) (int, error) {
	if _, ok := p.file.Get(key); !ok {
		return byDefault, nil
	}
	n, err := zkInt(p.get(key))
	if err != nil {
		return 0, p.locate(key, err)
	}
	return n, nil
}

// locate adds the place of a key's value to an error.
func (p *zkProperties) locate(key string, err error) error {
	var javaErr *zkJavaError
	if line := p.file.Line(key); line > 0 && errors.As(err, &javaErr) {
		javaErr.hint = fmt.Sprintf("%s:%d: %s=%s: a whole number is needed", p.file.Path(), line, key, p.get(key))
	}
	return err
}

func zkInt(text string) (int, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, &zkJavaError{class: "java.lang.NumberFormatException", text: fmt.Sprintf("For input string: \"%s\"", text)}
	}
	return int(n), nil
}

var serverKey = regexp.MustCompile(`^server\.\d+$`)

// notServed are settings that ask for what this server does not have and
// that cannot be passed over, because they protect something or because
// somebody waits for them.
var notServed = map[string]string{
	"secureClientPort":             "TLS",
	"secureClientPortAddress":      "TLS",
	"client.portUnification":       "TLS",
	"sessionRequireClientSASLAuth": "SASL",
	"requireClientAuthScheme":      "SASL",
	"enforce.auth.enabled":         "enforced authentication",
	"dynamicConfigFile":            "an ensemble",
}

// parseZooKeeper makes the server's configuration of a file. log gets what
// ZooKeeper's own parser says while it reads, in its order.
func parseZooKeeper(path string, system map[string]string, log *logrus.Entry) (server.Config, error) {
	log.Infof("Reading configuration from: %s", path)
	warnRelative(log, path)
	if _, err := os.Stat(path); err != nil {
		return server.Config{}, zkIllegal("%s file is missing", path)
	}
	file, err := config.ReadProperties(path)
	if err != nil {
		return server.Config{}, err
	}
	p := &zkProperties{file: file, system: system}
	cfg, err := p.parse(log)
	if err != nil {
		return cfg, err
	}
	return cfg, p.refuseUnserved()
}

func warnRelative(log *logrus.Entry, path string) {
	if !filepath.IsAbs(path) && !strings.HasPrefix(path, "./") {
		log.Warnf("%s is relative. Prepend ./ to indicate that you're sure!", path)
	}
}

func (p *zkProperties) parse(log *logrus.Entry) (server.Config, error) {
	cfg := server.Config{DataDir: p.get("dataDir"), DataLogDir: p.get("dataLogDir"), ClientPortAddress: p.get("clientPortAddress")}
	for _, dir := range []string{cfg.DataDir, cfg.DataLogDir} {
		if dir != "" {
			warnRelative(log, dir)
		}
	}
	if err := p.parseNumbers(&cfg); err != nil {
		return cfg, err
	}
	if err := p.parseSystem(&cfg); err != nil {
		return cfg, err
	}
	switch {
	case cfg.DataDir == "":
		return cfg, zkIllegal("dataDir is not set")
	case cfg.ClientPort == 0 && cfg.ClientPortAddress != "":
		return cfg, zkIllegal("clientPortAddress is set but clientPort is not set")
	case cfg.ClientPort == 0:
		log.Info("clientPort is not set")
		return cfg, zkIllegal("clientPort is not set, so that no client could connect")
	case cfg.ClientPort < 0 || cfg.ClientPort > 65535:
		return cfg, zkIllegal("port out of range:%d", cfg.ClientPort)
	}
	address := cfg.ClientPortAddress
	if address == "" {
		address = "0.0.0.0"
	}
	log.Infof("clientPortAddress is %s:%d", address, cfg.ClientPort)
	log.Info("secureClientPort is not set")
	if cfg.TickTime == 0 {
		return cfg, zkIllegal("tickTime is not set")
	}
	low, high := cfg.MinSessionTimeout, cfg.MaxSessionTimeout
	if low == 0 {
		low = 2 * cfg.TickTime
	}
	if high == 0 {
		high = 20 * cfg.TickTime
	}
	if low > high {
		return cfg, zkIllegal("minSessionTimeout must not be larger than maxSessionTimeout")
	}
	return cfg, nil
}

const (
	zkTickTimeMs     = 3000
	zkMaxClientCnxns = 60
)

// parseNumbers reads the whole numbers that the parser itself knows.
func (p *zkProperties) parseNumbers(cfg *server.Config) error {
	ms := func(target *time.Duration) func(int) {
		return func(n int) { *target = time.Duration(max(n, 0)) * time.Millisecond }
	}
	rows := []struct {
		key       string
		byDefault int
		set       func(int)
	}{
		{"clientPort", 0, func(n int) { cfg.ClientPort = n }},
		{"tickTime", zkTickTimeMs, ms(&cfg.TickTime)},
		{"maxClientCnxns", zkMaxClientCnxns, func(n int) { cfg.MaxClientCnxns = n }},
		{"minSessionTimeout", -1, ms(&cfg.MinSessionTimeout)},
		{"maxSessionTimeout", -1, ms(&cfg.MaxSessionTimeout)},
		{"initLimit", 0, func(int) {}},
		{"syncLimit", 0, func(int) {}},
		{"electionAlg", 3, func(int) {}},
		{"autopurge.snapRetainCount", 3, func(n int) { cfg.PurgeRetain = n }},
		{"autopurge.purgeInterval", 0, func(n int) { cfg.PurgeInterval = time.Duration(n) * time.Hour }},
	}
	for _, row := range rows {
		n, err := p.number(row.key, row.byDefault)
		if err != nil {
			return err
		}
		row.set(n)
	}
	return nil
}

// parseSystem reads what can come as a system property, too.
func (p *zkProperties) parseSystem(cfg *server.Config) error {
	numbers := []struct {
		key string
		set func(int)
	}{
		{"snapCount", func(n int) { cfg.SnapCount = n }},
		{"preAllocSize", func(n int) { cfg.PreAllocSize = int64(n) << 10 }},
		{"snapSizeLimitInKb", func(n int) {
			if cfg.SnapSizeLimit = int64(n) << 10; n <= 0 {
				cfg.SnapSizeLimit = -1
			}
		}},
		{"globalOutstandingLimit", func(n int) { cfg.GlobalOutstandingLimit = n }},
	}
	for _, row := range numbers {
		text := p.systemKey(row.key)
		if text == "" {
			continue
		}
		n, err := zkInt(text)
		if err != nil {
			return p.locate(row.key, err)
		}
		row.set(n)
	}
	// ZooKeeper itself takes jute.maxbuffer from the command line only.
	limit := p.system["jute.maxbuffer"]
	if limit == "" {
		limit = p.get("jute.maxbuffer")
	}
	if limit != "" {
		n, err := strconv.ParseInt(strings.TrimPrefix(limit, "+"), 0, 32)
		if err != nil || n <= 0 {
			return zkIllegal("jute.maxbuffer must be a number of bytes, not %q", limit)
		}
		cfg.JuteMaxBuffer = int(n)
	}
	cfg.NoForceSync = p.systemKey("forceSync") == "no"
	cfg.SkipACL = p.systemKey("skipACL") == "yes"
	cfg.TrustEmptySnapshot = strings.EqualFold(p.systemKey("snapshot.trust.empty"), "true")
	cfg.SuperDigest = p.systemKey("DigestAuthenticationProvider.superDigest")
	if words := p.systemKey("4lw.commands.whitelist"); words != "" {
		cfg.FourLetterWords = strings.FieldsFunc(words, func(r rune) bool { return r == ',' || r == ' ' })
	}
	return nil
}

// refuseUnserved refuses a file that asks for more than one server or for
// what this one does not have.
func (p *zkProperties) refuseUnserved() error {
	servers := 0
	for _, key := range p.file.Keys() {
		if serverKey.MatchString(key) {
			servers++
		}
	}
	if servers > 1 {
		return zkIllegal("%d server.N lines describe an ensemble, and the bundled ZooKeeper is one stand-alone server: "+
			"leave one server.N line or none, or run Apache ZooKeeper, which takes this dataDir as it is", servers)
	}
	for key, feature := range notServed {
		value := p.systemKey(key)
		if value != "" && !strings.EqualFold(value, "false") {
			return zkIllegal("%s=%s asks for %s, which the bundled ZooKeeper does not have: "+
				"remove the line, or run Apache ZooKeeper, which takes this dataDir as it is", key, value, feature)
		}
	}
	return nil
}
