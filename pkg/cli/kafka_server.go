package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"gregor/pkg/cli/jopt"
	"gregor/pkg/config"
	"gregor/pkg/lifecycle"
	"gregor/pkg/logging"
)

// Server is what kafka-server-start starts and stops.
type Server interface {
	// Start returns when the broker serves. When it fails it has logged why
	// and stopped whatever ran; a ctx that ends makes it fail.
	Start(ctx context.Context) error
	// Shutdown stops a started broker in order.
	Shutdown(ctx context.Context) error
	// Done is closed when the broker has ended, whoever ended it.
	Done() <-chan struct{}
}

// Loggers of the lines around a broker's life.
const (
	kafkaMainClass   = "kafka.Kafka$"
	kafkaConfigClass = "kafka.server.KafkaConfig"
	signalClass      = "org.apache.kafka.common.utils.LoggingSignalHandler"
)

// NewKafkaServerCommand makes the command kafka-server-start, kafka.Kafka in
// Java: it reads the properties file and its overrides and runs the broker
// that newBroker makes of them until a signal ends it. The script takes
// -daemon and an empty command line.
func NewKafkaServerCommand(newBroker func(*config.Broker, *logging.Loggers) Server) Command {
	return func(ctx context.Context, env *Env, args []string) int {
		loggers := serverLoggers(env)
		defer loggers.Close()
		loggers.Logger("kafka.utils.Log4jControllerRegistration$").Info("Registered kafka:type=kafka.Log4jController MBean")
		k := newKafkaCommand(env, loggers)
		switch {
		case len(args) == 0 || slices.Contains(args, "--help"):
			return usageFailure(env, k.parser, "USAGE: java [options] kafka.Kafka server.properties [--override property=value]*")
		case slices.Contains(args, "--version"):
			fmt.Fprintln(env.Stdout, versionLine)
			return 0
		}
		return k.run(ctx, args, newBroker)
	}
}

// kafkaCommand is one run of the command.
type kafkaCommand struct {
	env      *Env
	loggers  *logging.Loggers
	parser   *jopt.Parser
	override *jopt.Option
	strict   *jopt.Option // our own
}

func newKafkaCommand(env *Env, loggers *logging.Loggers) *kafkaCommand {
	k := &kafkaCommand{env: env, loggers: loggers, parser: jopt.New()}
	k.override = k.parser.Accepts("override", "A setting, KEY=VALUE, that goes before the one of the properties file.").RequiredArg("")
	k.strict = k.parser.Accepts("strict-config", "Do not start with settings that are unknown or were removed.")
	return k
}

func (k *kafkaCommand) run(ctx context.Context, args []string, newBroker func(*config.Broker, *logging.Loggers) Server) int {
	broker, warnings, err := k.configure(args)
	var usage *jopt.UsageError
	if errors.As(err, &usage) {
		return usageFailure(k.env, k.parser, usage.Text)
	}
	if err != nil {
		return k.fatal(err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	k.loggers.Logger(signalClass).Info("Registered signal handlers for TERM, INT, HUP")
	describeEnvironment(k.env, k.loggers.Logger(kafkaMainClass))
	for _, w := range warnings {
		k.loggers.Logger(kafkaConfigClass).Warn(w.Text)
	}
	return k.serve(ctx, newBroker(broker, k.loggers), signals)
}

// configure reads the file and what --override says; of two overrides of one
// setting the later counts.
func (k *kafkaCommand) configure(args []string) (*config.Broker, []config.Warning, error) {
	file, err := config.ReadProperties(args[0])
	if err != nil {
		return nil, nil, err
	}
	options, err := k.parser.Parse(args[1:])
	if err != nil {
		return nil, nil, err
	}
	if free := options.Free(); len(free) > 0 {
		return nil, nil, jopt.Usagef("Found non argument parameters: %s", strings.Join(free, ","))
	}
	overrides := map[string]string{}
	for _, setting := range options.Strings(k.override) {
		key, value, _ := strings.Cut(setting, "=")
		overrides[key] = value
	}
	broker, warnings, err := config.ParseBroker(file, overrides)
	if err == nil && options.Has(k.strict) {
		err = config.Strict(warnings)
	}
	return broker, warnings, err
}

// fatal logs the exception that keeps a broker from being made and, where
// there is one, the sentence that tells people what to change.
func (k *kafkaCommand) fatal(err error) int {
	k.loggers.Logger(kafkaMainClass).WithError(err).Error("Exiting Kafka due to fatal exception")
	var refused *config.Error
	if errors.As(err, &refused) && refused.Hint != "" {
		k.loggers.Logger(kafkaConfigClass).Error(refused.Hint)
	}
	return 1
}

// serve runs a broker to its end and returns the exit status: that of the
// signal, or 1 when the broker could not start or ended by itself.
func (k *kafkaCommand) serve(ctx context.Context, s Server, signals <-chan os.Signal) int {
	starting := lifecycle.NewGroup(ctx)
	started := make(chan error, 1)
	starting.Go("kafka-startup", func(ctx context.Context) error {
		started <- s.Start(ctx)
		return nil
	})
	select {
	case err := <-started:
		starting.Close()
		if err != nil {
			k.loggers.Logger(kafkaMainClass).Error("Exiting Kafka.")
			return 1
		}
	case sig := <-signals:
		status := k.terminated(sig)
		starting.Close()
		if err := <-started; err != nil {
			return status // it has cleaned up
		}
		return k.shutdown(s, status)
	}
	select {
	case sig := <-signals:
		return k.shutdown(s, k.terminated(sig))
	case <-ctx.Done():
		return k.shutdown(s, 0)
	case <-s.Done():
		return 1
	}
}

// terminated logs a signal and returns the status that goes with it.
func (k *kafkaCommand) terminated(sig os.Signal) int {
	number := sig.(syscall.Signal)
	name := map[syscall.Signal]string{syscall.SIGTERM: "SIGTERM", syscall.SIGINT: "SIGINT", syscall.SIGHUP: "SIGHUP"}[number]
	k.loggers.Logger(signalClass).Infof("Terminating process due to signal %s", name)
	return signalBase + int(number)
}

func (k *kafkaCommand) shutdown(s Server, status int) int {
	if err := s.Shutdown(context.Background()); err != nil {
		k.loggers.Logger(kafkaMainClass).WithError(err).Error("Halting Kafka.")
		return 1
	}
	return status
}
