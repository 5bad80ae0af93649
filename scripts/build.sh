#!/bin/sh
# Builds bin/gregor: one static binary, no cgo.
set -e
cd "$(dirname "$(readlink -f "$0")")/.."
if ! command -v go >/dev/null 2>&1; then
	echo "bin/gregor is missing, and there is no Go here to build it with: see README.md" >&2
	exit 1
fi
CGO_ENABLED=0 exec go build -trimpath -ldflags '-s -w' -o bin/gregor ./cmd/gregor
