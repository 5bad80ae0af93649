#!/bin/sh
self=$(readlink -f "$0") && exec "${self%/*}/../scripts/run.sh" org.apache.zookeeper.server.quorum.QuorumPeerMain "$0" "$@"
