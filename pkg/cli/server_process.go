package cli

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/sirupsen/logrus"

	"gregor/pkg/logging"
)

// serverLoggers makes the logging of a server process from what the scripts
// of Kafka take from the environment: KAFKA_LOG4J_OPTS names the
// configuration, config/log4j.properties unless set; LOG_DIR is where the
// files go, logs unless set. What cannot be read or written is told on the
// standard error, and the server logs to the standard output all the same.
func serverLoggers(env *Env) *logging.Loggers {
	opts := env.Getenv("KAFKA_LOG4J_OPTS")
	system := systemProperties(env.Getenv("KAFKA_OPTS") + " " + opts)
	if system["kafka.logs.dir"] == "" {
		system["kafka.logs.dir"] = env.Getenv("LOG_DIR")
	}
	if system["kafka.logs.dir"] == "" {
		system["kafka.logs.dir"] = filepath.Join(homeDirectory(env), "logs")
	}
	path := log4jPath(env, system["log4j.configuration"])
	loggers, complaints, err := logging.LoadFile(path, logging.Options{Stdout: env.Stdout, Stderr: env.Stderr, System: system})
	if errors.Is(err, fs.ErrNotExist) && opts == "" {
		return logging.New(env.Stdout) // a binary that was copied somewhere alone
	}
	if err != nil {
		complaints = append(complaints, err.Error())
		loggers = logging.New(env.Stdout)
	}
	for _, text := range complaints {
		_, _ = env.Stderr.Write([]byte("log4j:ERROR " + path + ": " + text + "\n"))
	}
	return loggers
}

// log4jPath is the file that -Dlog4j.configuration names: a URL, a path, or
// the name of a file in config/.
func log4jPath(env *Env, name string) string {
	if name == "" {
		name = "log4j.properties"
	}
	if path, isURL := strings.CutPrefix(name, "file:"); isURL {
		if strings.HasPrefix(path, "//") {
			path = "/" + strings.TrimLeft(path, "/")
		}
		return path
	}
	if _, err := os.Stat(name); err == nil && filepath.Base(name) != name {
		return name
	}
	return filepath.Join(homeDirectory(env), "config", name)
}

// homeDirectory is the directory above bin/.
func homeDirectory(env *Env) string {
	if env.Home != "" {
		return env.Home
	}
	program, err := os.Executable()
	if err != nil {
		return "."
	}
	return filepath.Dir(filepath.Dir(program))
}

// describeEnvironment takes what the environment of the scripts says beside
// logging, and logs a line for each thing that is taken, or that means
// something to Kafka and nothing here.
func describeEnvironment(env *Env, log *logrus.Entry) {
	limitMemory(env.Getenv("KAFKA_HEAP_OPTS"), cgroupLimit("/sys/fs/cgroup", "/proc/self/cgroup"), log)
	if port := env.Getenv("JMX_PORT"); port != "" {
		log.Infof("JMX_PORT=%s is ignored: JMX is how a Java virtual machine is asked, and there is none here", port)
	}
	for _, word := range strings.Fields(env.Getenv("KAFKA_OPTS")) {
		definition, isProperty := strings.CutPrefix(word, "-D")
		switch {
		case isProperty && (strings.HasPrefix(definition, "java.security.") || strings.HasPrefix(definition, "zookeeper.")):
			log.Warnf("%s of KAFKA_OPTS has no effect: SASL and TLS are not implemented yet", word)
		case strings.HasPrefix(word, "-javaagent:"):
			log.Warnf("%s of KAFKA_OPTS has no effect: agents are for a Java virtual machine", word)
		}
	}
}

// memoryShare is the part of a container's memory that the runtime may use.
const memoryShare = 0.8

// limitMemory sets the memory limit of the runtime: -Xmx, but no more than
// the container leaves.
func limitMemory(heapOpts string, container int64, log *logrus.Entry) {
	limit, source := int64(math.MaxInt64), ""
	for _, word := range strings.Fields(heapOpts) {
		if text, ok := strings.CutPrefix(word, "-Xmx"); ok {
			if size, ok := parseJavaSize(text); ok {
				limit, source = size, word+" of KAFKA_HEAP_OPTS"
			} else {
				log.Warnf("%s of KAFKA_HEAP_OPTS is not a size such as -Xmx1G", word)
			}
		}
	}
	if share := int64(float64(container) * memoryShare); container > 0 && share < limit {
		limit, source = share, "80 % of the memory of this container"
	}
	if source != "" {
		debug.SetMemoryLimit(limit)
		log.Infof("Memory limit is %d MB, from %s", limit>>20, source)
	}
}

// cgroupLimit is the memory that the control group of this process may use;
// 0 when there is no limit. Both versions of control groups are looked at.
func cgroupLimit(root, self string) int64 {
	paths := []string{filepath.Join(root, "memory.max"), filepath.Join(root, "memory", "memory.limit_in_bytes")}
	if text, err := os.ReadFile(self); err == nil {
		for _, line := range strings.Split(string(text), "\n") {
			if group, ok := strings.CutPrefix(line, "0::"); ok {
				paths = append(paths, filepath.Join(root, group, "memory.max"))
			}
		}
	}
	limit := int64(0)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		size, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		unlimited := err != nil || size <= 0 || size > 1<<60
		if !unlimited && (limit == 0 || size < limit) {
			limit = size
		}
	}
	return limit
}
