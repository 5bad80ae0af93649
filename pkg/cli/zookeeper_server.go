package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gregor/pkg/logging"
	"gregor/pkg/zookeeper/server"
)

var _ = register("zookeeper-server-start", zookeeperServerStart)

// Exit statuses of a ZooKeeper server.
const (
	zkUnexpected    = 1
	zkInvalidConfig = 2
	zkDataDir       = 3
	signalBase      = 128
)

const (
	zkMainClass   = "org.apache.zookeeper.server.ZooKeeperServerMain"
	zkQuorumClass = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
	zkConfigClass = "org.apache.zookeeper.server.quorum.QuorumPeerConfig"
	zkPurgeClass  = "org.apache.zookeeper.server.DatadirCleanupManager"
)

// zookeeperServerStart runs the bundled ZooKeeper in the foreground until a
// signal ends it. The script takes -daemon and an empty command line.
func zookeeperServerStart(ctx context.Context, env *Env, args []string) int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	z := &zkCommand{env: env, loggers: serverLoggers(env)}
	defer z.loggers.Close()
	cfg, status := z.configure(args)
	if status != 0 {
		return status
	}
	log := z.loggers.Logger(zkMainClass)
	limitMemory(env.Getenv("KAFKA_HEAP_OPTS"), cgroupLimit("/sys/fs/cgroup", "/proc/self/cgroup"), log)
	log.Info("Starting server")
	s, err := server.Start(ctx, cfg)
	if err != nil {
		return z.startFailed(err)
	}
	status = zkUnexpected
	select {
	case sig := <-signals:
		status = signalBase + int(sig.(syscall.Signal))
	case <-s.Done():
		if ctx.Err() != nil {
			status = 0
		}
	}
	if err := s.Close(); err != nil {
		return z.fail(zkUnexpected, zkMainClass, "Unexpected exception, exiting abnormally", err.Error())
	}
	return status
}

// zkCommand is one run of the command.
type zkCommand struct {
	env     *Env
	loggers *logging.Loggers
}

// configure takes the arguments as the server's main class does: a file, or
// port, directory, tick time and connections.
func (z *zkCommand) configure(args []string) (server.Config, int) {
	quorum, reader := z.loggers.Logger(zkQuorumClass), z.loggers.Logger(zkConfigClass)
	var cfg server.Config
	var err error
	system := systemProperties(z.env.Getenv("KAFKA_OPTS"))
	if len(args) == 1 {
		if cfg, err = parseZooKeeper(args[0], system, reader); err != nil {
			z.logError(zkQuorumClass, "Invalid config, exiting abnormally",
				zkConfigClass+"$ConfigException: Error processing "+args[0], "Caused by: "+err.Error())
			fmt.Fprintln(z.env.Stderr, "Invalid config, exiting abnormally")
			return cfg, zkInvalidConfig
		}
		z.logPurge(cfg)
	}
	quorum.Warn("Either no config or no quorum defined in config, running  in standalone mode")
	if len(args) == 1 {
		// ZooKeeper reads the file once more here, and says so once more.
		cfg, err = parseZooKeeper(args[0], system, reader)
	} else {
		cfg, err = parseArguments(args)
	}
	if err != nil {
		z.logError(zkMainClass, "Invalid arguments, exiting abnormally", err.Error())
		z.loggers.Logger(zkMainClass).Info(zkUsage)
		fmt.Fprintln(z.env.Stderr, zkUsage)
		return cfg, zkInvalidConfig
	}
	cfg.Loggers = z.loggers
	return cfg, 0
}

const zkUsage = "Usage: ZooKeeperServerMain configfile | port datadir [ticktime] [maxcnxns]"

func parseArguments(args []string) (server.Config, error) {
	cfg := server.Config{MaxClientCnxns: zkMaxClientCnxns, TickTime: zkTickTimeMs * time.Millisecond}
	if len(args) < 2 || len(args) > 4 {
		return cfg, zkIllegal("Invalid number of arguments:[%s]", strings.Join(args, ", "))
	}
	cfg.DataDir = args[1]
	targets := []func(int){
		func(n int) { cfg.ClientPort = n },
		func(n int) { cfg.TickTime = time.Duration(n) * time.Millisecond },
		func(n int) { cfg.MaxClientCnxns = n },
	}
	for i, text := range append([]string{args[0]}, args[2:]...) {
		n, err := zkInt(text)
		if err != nil {
			return cfg, err
		}
		targets[i](n)
	}
	return cfg, nil
}

func (z *zkCommand) logPurge(cfg server.Config) {
	log := z.loggers.Logger(zkPurgeClass)
	log.Infof("autopurge.snapRetainCount set to %d", max(cfg.PurgeRetain, 3))
	log.Infof("autopurge.purgeInterval set to %d", int(cfg.PurgeInterval.Hours()))
	if cfg.PurgeInterval <= 0 {
		log.Info("Purge task is not scheduled.")
	}
}

// startFailed says why the server did not start.
func (z *zkCommand) startFailed(err error) int {
	switch {
	case errors.Is(err, server.ErrDataDir):
		return z.fail(zkDataDir, zkMainClass, "Unable to access datadir, exiting abnormally", err.Error())
	case errors.Is(err, syscall.EADDRINUSE):
		return z.fail(zkUnexpected, zkMainClass, "Unexpected exception, exiting abnormally",
			"java.net.BindException: Address already in use", err.Error())
	}
	return z.fail(zkUnexpected, zkMainClass, "Unexpected exception, exiting abnormally", err.Error())
}

// fail logs an error and repeats its first line on standard error.
func (z *zkCommand) fail(status int, class, message string, details ...string) int {
	z.logError(class, message, details...)
	fmt.Fprintln(z.env.Stderr, message)
	return status
}

// logError logs an error with the lines that stand below it, where Java
// prints an exception.
func (z *zkCommand) logError(class, message string, details ...string) {
	z.loggers.Logger(class).WithError(errors.New(strings.Join(details, "\n"))).Error(message)
}

// parseJavaSize reads a size as the JVM does: a number with k, m, g or t.
func parseJavaSize(text string) (int64, bool) {
	shift := 0
	if n := len(text); n > 0 {
		if i := strings.IndexByte("kmgt", text[n-1]|0x20); i >= 0 {
			shift = 10 * (i + 1)
			text = text[:n-1]
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || n > 1<<62>>shift {
		return 0, false
	}
	return n << shift, true
}
