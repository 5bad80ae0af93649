package api

import (
	"context"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/logging"
	"gregor/pkg/metadata"
	"gregor/pkg/replica"
)

// AutoTopicCreator makes topics that a Metadata request names and nobody has made
// (auto.create.topics.enable).
type AutoTopicCreator interface {
	// AutoCreate begins to create the topics and returns without waiting for
	// their leaders: one error for each, which the client is told.
	// LEADER_NOT_AVAILABLE means that it has been created just now, by us or
	// by somebody else.
	AutoCreate(ctx context.Context, topics []string) []error
}

// ClusterOptions are what the Cluster family works with.
type ClusterOptions struct {
	Metadata         *metadata.Cache
	Replicas         *replica.Manager
	Topics           AutoTopicCreator
	AutoCreateTopics func() bool // auto.create.topics.enable
	Loggers          *logging.Loggers
}

// Cluster is the family of the APIs that tell what there is: Metadata,
// DescribeCluster, DescribeLogDirs, and AlterReplicaLogDirs.
type Cluster struct {
	ClusterOptions
	log    *logrus.Entry // kafka.server.KafkaApis
	remote mentions      // clients that were told a loopback address
	made   mentions      // topics that were created, by name
}

// NewCluster returns the family.
func NewCluster(options ClusterOptions) *Cluster {
	return &Cluster{ClusterOptions: options, log: options.Loggers.Logger("kafka.server.KafkaApis")}
}

// Register enters the family's handlers.
func (c *Cluster) Register(r *Router) {
	r.Handle(3, Typed(kmsg.NewPtrMetadataRequest, c.metadata))
	r.Handle(34, Typed(kmsg.NewPtrAlterReplicaLogDirsRequest, c.alterReplicaLogDirs))
	r.Handle(35, Typed(kmsg.NewPtrDescribeLogDirsRequest, c.describeLogDirs))
	r.Handle(60, Typed(kmsg.NewPtrDescribeClusterRequest, c.describeCluster))
}
