package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"gregor/pkg/broker"
	"gregor/pkg/logging"
	"gregor/pkg/zookeeper/server"
)

var _ = register("quickstart", quickstart)

// quickstart is `make run`: the bundled ZooKeeper and a broker in one process
// with the files of config/, then what to type next. It runs until a signal.
//
//	gregor quickstart [zookeeper.properties server.properties [--override key=value]...]
func quickstart(ctx context.Context, env *Env, args []string) int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	q := &quickstartCommand{env: env, quiet: quickLoggers(env)}
	defer q.quiet.Close()
	zooKeeper, stop, status := q.startZooKeeper(ctx, args)
	if status != 0 {
		return status
	}
	defer stop()
	b, err := q.startBroker(ctx, args)
	if err != nil {
		q.explain("the broker", err)
		return 1
	}
	showLook(env.Stdout, zooKeeper, b.Look(ctx))
	status = 0
	select {
	case sig := <-signals:
		status = signalBase + int(sig.(syscall.Signal))
	case <-ctx.Done():
	case <-b.Done():
		status = 1
	}
	if err := b.Shutdown(context.Background()); err != nil {
		q.explain("the broker, while it stopped,", err)
		return 1
	}
	return status
}

type quickstartCommand struct {
	env   *Env
	quiet *logging.Loggers
}

// quickLoggers write the files of log4j.properties and nothing on the screen,
// so that what to type next is not lost among the lines.
func quickLoggers(env *Env) *logging.Loggers {
	silent := *env
	silent.Stdout = io.Discard
	return serverLoggers(&silent)
}

func (q *quickstartCommand) file(args []string, i int, name string) string {
	if len(args) > i {
		return args[i]
	}
	return filepath.Join(homeDirectory(q.env), "config", name)
}

func (q *quickstartCommand) startZooKeeper(ctx context.Context, args []string) (address string, stop func(), status int) {
	path := q.file(args, 0, "zookeeper.properties")
	cfg, err := parseZooKeeper(path, systemProperties(q.env.Getenv("KAFKA_OPTS")), q.quiet.Logger(zkConfigClass))
	if err != nil {
		q.explain("ZooKeeper", fmt.Errorf("%s: %w", path, err))
		return "", nil, zkInvalidConfig
	}
	cfg.Loggers = q.quiet
	s, err := server.Start(ctx, cfg)
	if err != nil {
		q.explain("ZooKeeper", err)
		return "", nil, 1
	}
	return s.Addr(), func() {
		if err := s.Close(); err != nil {
			q.explain("ZooKeeper, while it stopped,", err)
		}
	}, 0
}

func (q *quickstartCommand) startBroker(ctx context.Context, args []string) (*broker.Broker, error) {
	k := newKafkaCommand(q.env, q.quiet)
	rest := []string{q.file(args, 1, "server.properties")}
	if len(args) > 2 {
		rest = append(rest, args[2:]...)
	}
	parsed, warnings, err := k.configure(rest)
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		k.loggers.Logger(kafkaConfigClass).Warn(w.Text)
	}
	b := broker.New(parsed, q.quiet)
	return b, b.Start(ctx)
}

// explain says in one sentence what keeps the quick start from running.
func (q *quickstartCommand) explain(what string, err error) {
	fmt.Fprintf(q.env.Stderr, "%s could not be run: %s\n", what, strings.TrimSpace(err.Error()))
	taken := strings.Contains(err.Error(), "ddress already in use")
	if taken {
		fmt.Fprintln(q.env.Stderr, "Something listens on its port already.")
	}
	if taken || errors.Is(err, server.ErrDataDir) {
		fmt.Fprintln(q.env.Stderr, "bin/kafka-server-stop.sh and bin/zookeeper-server-stop.sh stop what was started from here.")
	}
}

// showLook prints where everything is and what to type next.
func showLook(out io.Writer, zooKeeper string, look broker.Look) {
	fmt.Fprintf(out, "Gregor is ready: broker %d, cluster %s\n\n", look.ID, look.ClusterID)
	fmt.Fprintf(out, "  ZooKeeper  %s\n", zooKeeper)
	bootstrap := ""
	for _, l := range look.Listeners {
		fmt.Fprintf(out, "  listener   %s, clients are told %s\n", l.Bound, l.Advertised)
		if l.Problem != "" {
			fmt.Fprintf(out, "             note: %s\n", l.Problem)
		}
		if bootstrap == "" {
			bootstrap = fmt.Sprintf("localhost:%d", l.Bound.Port)
		}
	}
	for _, d := range look.Dirs {
		fmt.Fprintf(out, "  data       %s\n", d.Path)
		if d.Hint != "" {
			fmt.Fprintf(out, "             note: it %s; log.dirs in config/server.properties moves it\n", d.Hint)
		}
	}
	fmt.Fprintf(out, "\nIn another terminal:\n\n"+
		"  bin/kafka-topics.sh --create --topic test --partitions 1 --replication-factor 1 --bootstrap-server %[1]s\n"+
		"  bin/kafka-console-producer.sh --topic test --bootstrap-server %[1]s\n"+
		"  bin/kafka-console-consumer.sh --topic test --from-beginning --bootstrap-server %[1]s\n\n"+
		"Ctrl+C stops everything.\n", bootstrap)
}
