#!/bin/sh
# Runs every fuzz target for a while (FUZZTIME, a minute unless told).
set -e
cd "$(dirname "$(readlink -f "$0")")/.."
git ls-files '*_test.go' | xargs grep -lE '^func Fuzz' | xargs -n1 dirname | sort -u | while read -r package; do
	grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$package"/*_test.go | sed 's/func //' | sort -u | while read -r target; do
		echo "== $package $target"
		go test "./$package" -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-1m}" </dev/null
	done
done
