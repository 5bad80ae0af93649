// Package logging is logrus with the layout, the logger names, the levels and
// the files that log4j gives Kafka.
//
// A Loggers value is the whole logging of one process. Parts take it in their
// constructor and ask it for entries by Kafka's class names ("kafka.server.
// KafkaServer"), which users grep for. Each name has a logrus logger of its
// own; its level is the one set for it or else for the nearest name above it
// ("kafka.server", "kafka", root), and may change while running. A line that
// no level lets through costs one atomic load.
//
// Configure reads the subset of log4j.properties that Kafka's files and their
// usual edits need: rootLogger, logger.*, additivity, thresholds, console,
// plain, daily-rolling and size-rolling files, PatternLayout.
//
// An entry with an error (WithError) is followed by a line with the error's
// Java class and text, as Java prints an exception; other fields are for
// hooks and are not printed.
//
// Lock order: Loggers.mu, then appender.mu. Writing takes appender.mu only.
// The package starts no goroutine: files are rolled by the line that finds
// that it is time.
package logging
