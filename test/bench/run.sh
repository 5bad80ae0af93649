#!/bin/sh
# Measures ours and Apache Kafka side by side. Needs Go, Java and Maven, which
# brings Apache Kafka's jars once into GREGOR_COMPAT_CACHE (see test/compat);
# kcat adds rows when it is installed.
# usage: test/bench/run.sh [-run TestBench/GROUP] [flag of go test]...
set -e
cd "$(dirname "$(readlink -f "$0")")/../.."
: "${GREGOR_COMPAT_CACHE:=${XDG_CACHE_HOME:-$HOME/.cache}/gregor-compat}"
export GREGOR_COMPAT_CACHE
mkdir -p "$GREGOR_COMPAT_CACHE"
for program in java mvn; do
	command -v "$program" >/dev/null 2>&1 || { echo "test/bench needs $program" >&2; exit 1; }
done
[ -x bin/gregor ] || scripts/build.sh
exec go test -tags bench -count=1 -timeout 30m ./test/bench -v "$@"
