package controller

import "gregor/pkg/config"

// Versions are the versions of the requests to brokers, and what else depends
// on inter.broker.protocol.version.
type Versions struct {
	LeaderAndISR, UpdateMetadata, StopReplica int16
	Features                                  bool // the features of /feature are enabled
	TopicIDs                                  bool // topics without an id get one
	AlterISR                                  bool // leaders ask the controller to change an ISR
}

// VersionsFor gives what a protocol version means to the controller.
func VersionsFor(v config.Version) Versions {
	return Versions{
		LeaderAndISR: pick(v, step{config.IBP_2_8_IV1, 5}, step{config.IBP_2_4_IV1, 4}, step{config.IBP_2_4_IV0, 3},
			step{config.IBP_2_2_IV0, 2}, step{config.IBP_1_0_IV0, 1}),
		UpdateMetadata: pick(v, step{config.IBP_2_8_IV1, 7}, step{config.IBP_2_4_IV1, 6}, step{config.IBP_2_2_IV0, 5},
			step{config.IBP_1_0_IV0, 4}, step{config.IBP_0_10_2_IV0, 3}, step{config.IBP_0_10_0_IV1, 2}, step{config.IBP_0_9_0, 1}),
		StopReplica: pick(v, step{config.IBP_2_6_IV0, 3}, step{config.IBP_2_4_IV1, 2}, step{config.IBP_2_2_IV0, 1}),
		Features:    v >= config.IBP_2_7_IV0,
		TopicIDs:    v >= config.IBP_2_8_IV0,
		AlterISR:    v >= config.IBP_2_7_IV2,
	}
}

// ControlledShutdownVersion is the version in which a broker of a protocol
// version announces its shutdown.
func ControlledShutdownVersion(v config.Version) int16 {
	return pick(v, step{config.IBP_2_4_IV1, 3}, step{config.IBP_2_2_IV0, 2}, step{config.IBP_0_9_0, 1})
}

// step is a request version and the first protocol version that uses it.
type step struct {
	since   config.Version
	version int16
}

// pick finds the version among steps that are ordered from new to old; below
// all of them it is 0.
func pick(v config.Version, steps ...step) int16 {
	for _, s := range steps {
		if v >= s.since {
			return s.version
		}
	}
	return 0
}
