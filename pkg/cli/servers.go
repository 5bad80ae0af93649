package cli

import (
	"gregor/pkg/broker"
	"gregor/pkg/config"
	"gregor/pkg/logging"
)

var _ = register("kafka-server-start", NewKafkaServerCommand(newBroker))

// newBroker makes the broker that the start commands run.
func newBroker(c *config.Broker, loggers *logging.Loggers) Server { return broker.New(c, loggers) }
