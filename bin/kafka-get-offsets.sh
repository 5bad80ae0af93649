#!/bin/sh
self=$(readlink -f "$0") && exec "${self%/*}/../scripts/run.sh" kafka-get-offsets "$0" "$@"
