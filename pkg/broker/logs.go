package broker

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"gregor/pkg/admin"
	"gregor/pkg/config"
	"gregor/pkg/logmanager"
	"gregor/pkg/model"
	"gregor/pkg/vfs"
)

// settleIdentity finds out who this broker is: meta.properties and the
// configured id must agree; an id of -1 is drawn from ZooKeeper once and kept.
func (b *Broker) settleIdentity(ctx context.Context) error {
	dirs := b.static.LogDirs()
	stored, missing, offline, err := logmanager.ReadBrokerMetadata(vfs.OS, dirs)
	if err != nil {
		return err
	}
	log := b.loggers.Logger("kafka.server.BrokerMetadataCheckpoint")
	for _, dir := range missing {
		log.Warnf("No meta.properties file under dir %s/meta.properties", strings.TrimSuffix(dir, "/"))
	}
	for _, dir := range dirs {
		if reason, ok := offline[dir]; ok {
			b.loggers.Logger("kafka.server.BrokerMetadataCheckpoint$").WithError(reason).Errorf("Failed to read %s/meta.properties", strings.TrimSuffix(dir, "/"))
			b.loggers.Logger("kafka.server.LogDirFailureChannel").Errorf("Failed to create or validate data directory %s", dir)
			b.offlineDirs = append(b.offlineDirs, dir)
		}
	}
	if stored != nil {
		if err := stored.CheckClusterID(b.clusterID); err != nil {
			b.explainClusterMismatch(dirs, stored.ClusterID)
			return err
		}
		if err := stored.CheckBrokerID(int32(b.id)); err != nil {
			return err
		}
		if stored.BrokerID >= 0 {
			b.id = model.BrokerID(stored.BrokerID)
		}
	}
	if b.id < 0 {
		if !b.static.Bool("broker.id.generation.enable") {
			return &fatalError{class: "kafka.common.GenerateBrokerIdException", text: "Failed to generate broker.id: it is not configured, and broker.id.generation.enable is false"}
		}
		if b.id, err = b.store.GenerateBrokerID(ctx, model.BrokerID(b.static.Int("reserved.broker.max.id"))); err != nil {
			return err
		}
	}
	b.idSettled = true
	b.dynamic = admin.NewBrokerConfig(b.id, b.static, b.loggers)
	return b.dynamic.Load(ctx, b.store)
}

// startLogs locks the directories and loads what is in them.
func (b *Broker) startLogs(ctx context.Context) error {
	c := b.current()
	descriptors := vfs.OpenFileLimit()
	filesMax := min(max(descriptors/3, 16), 32768)
	b.log.Infof("%s%d files may be open at a time, about %d of them for segments and indexes", b.prefix(), descriptors, filesMax)
	logs, err := logmanager.New(logmanager.Options{
		Dirs:                       c.LogDirs(),
		InitialOffline:             b.offlineDirs,
		Loggers:                    b.loggers,
		RecoveryThreads:            recoveryThreads(c),
		OpenFilesMax:               filesMax,
		RetentionCheckInterval:     time.Duration(c.Long("log.retention.check.interval.ms")) * time.Millisecond,
		FlushCheckInterval:         time.Duration(c.Long("log.flush.scheduler.interval.ms")) * time.Millisecond,
		RecoveryCheckpointInterval: milliseconds(c.Int("log.flush.offset.checkpoint.interval.ms")),
		LogStartCheckpointInterval: milliseconds(c.Int("log.flush.start.offset.checkpoint.interval.ms")),
		FileDeleteDelay:            time.Duration(c.Long("log.segment.delete.delay.ms")) * time.Millisecond,
		Cleaner:                    newCleanerConfig(c),
		OnDirFailure:               b.dirFailed,
		DescribeOverrides:          func(topic string) string { return showOverrides(b.topicConfigs.known(topic)) },
	})
	if err != nil {
		return err
	}
	b.logs = logs
	b.onStop(func(context.Context) {
		if err := logs.Shutdown(); err != nil && b.shutdownErr == nil {
			b.shutdownErr = err
		}
	})
	if err := logs.Lock(); err != nil {
		return err
	}
	if len(logs.LiveDirs()) == 0 {
		return &fatalError{class: "org.apache.kafka.common.KafkaException",
			text: fmt.Sprintf("Shutdown broker because all log dirs in %s have failed", strings.Join(c.LogDirs(), ", "))}
	}
	b.session.lockHeld()
	b.topicConfigs = newTopicConfigs(b.store)
	if err := b.topicConfigs.loadAll(ctx); err != nil {
		return err
	}
	if err := logs.Load(ctx, b.logOptionsOf); err != nil {
		return err
	}
	b.reconfigureLogs(c)
	logs.Start()
	return nil
}

// recoveryThreads is how many logs of a directory are opened at a time.
func recoveryThreads(c *config.Broker) int {
	if !c.IsSet("gregor.recovery.threads.per.data.dir") {
		return c.Int("num.recovery.threads.per.data.dir")
	}
	if n := c.Int("gregor.recovery.threads.per.data.dir"); n > 0 {
		return n
	}
	return runtime.GOMAXPROCS(0)
}

// reconfigureLogs puts settings of the log directories in force that may
// change while the broker runs.
func (b *Broker) reconfigureLogs(c *config.Broker) {
	b.logs.Reconfigure(c.Int("num.recovery.threads.per.data.dir"), time.Duration(c.Long("log.segment.delete.delay.ms"))*time.Millisecond)
}

// logDirMovers is how many logs move between directories at a time: one for
// each directory unless num.replica.alter.log.dirs.threads says otherwise.
func (b *Broker) logDirMovers() int {
	c := b.current()
	if c.IsSet("num.replica.alter.log.dirs.threads") {
		return c.Int("num.replica.alter.log.dirs.threads")
	}
	return len(c.LogDirs())
}

// writeIdentity keeps the id and the cluster in every directory; it comes
// after the registration, which proves that the id is ours.
func (b *Broker) writeIdentity(context.Context) error {
	return logmanager.WriteBrokerMetadata(vfs.OS, b.logs.LiveDirs(), logmanager.BrokerMetadata{BrokerID: int32(b.id), ClusterID: b.clusterID})
}

// dirFailed takes the partitions of a directory offline, tells the
// controller, and ends the broker when no directory is left.
func (b *Broker) dirFailed(dir string) {
	b.replicas.DirFailed(dir)
	if len(b.logs.LiveDirs()) == 0 {
		b.shutdownErr = fmt.Errorf("all log directories have failed")
		b.fail.Do(func() { close(b.done) })
		return
	}
	if b.current().InterBrokerProtocol() >= config.IBP_1_0_IV0 {
		ctx, cancel := context.WithTimeout(b.group.Context(), time.Minute)
		defer cancel()
		if err := b.store.NotifyLogDirEvent(ctx, b.id); err != nil {
			b.log.WithError(err).Errorf("%sthe controller could not be told of the failed directory %s", b.prefix(), dir)
		}
	}
}

// hostedTopics are the topics of which a log is here.
func (b *Broker) hostedTopics() []string {
	topics := map[string]bool{}
	for _, log := range b.logs.Logs() {
		topics[log.Partition().Topic] = true
	}
	return slices.Sorted(maps.Keys(topics))
}

// showOverrides writes settings as Java prints a map.
func showOverrides(settings map[string]string) string {
	parts := make([]string, 0, len(settings))
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		parts = append(parts, key+"="+settings[key])
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
