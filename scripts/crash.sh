#!/bin/sh
# Crashes and failures of the log, many more than `make test` has: histories
# against a model (CRASH_SEEDS of each kind, 5000 unless told), a crash before
# and an error of every single call to the file system, and a broker that is
# killed under load (CRASH_KILLS times, 200 unless told), whose files are then
# read by Apache Kafka's own tool. The last part needs what test/compat needs.
set -e
cd "$(dirname "$(readlink -f "$0")")/.."
GREGOR_CRASH=all go test ./pkg/commitlog -count=1 -timeout 2h -run 'Crash|Fails|Flipped|Cut|Leftovers|Model' -rapid.checks="${CRASH_SEEDS:-5000}"
GREGOR_CRASH=all go test ./pkg/logmanager -count=1 -timeout 1h -run 'Crash|Fails|Kill'
scripts/build.sh
GREGOR_KILLS="${CRASH_KILLS:-200}" exec test/compat/run.sh -run 'TestBrokerKilledUnderLoad$' -timeout 2h -v
