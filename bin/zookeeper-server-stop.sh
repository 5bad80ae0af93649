#!/bin/sh
self=$(readlink -f "$0") && exec "${self%/*}/../scripts/run.sh" zookeeper-server-stop "$0" "$@"
