#!/bin/sh
self=$(readlink -f "$0") && exec "${self%/*}/../scripts/run.sh" kafka-replica-verification "$0" "$@"
