#!/bin/sh
# Everything that is checked without running the code: format, vet, static
# analysis, and the rules of the house (pkg/conventions_test.go).
set -e
cd "$(dirname "$(readlink -f "$0")")/.."
unformatted=$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l)
if [ -n "$unformatted" ]; then
	echo "not formatted with gofmt:" >&2
	echo "$unformatted" >&2
	exit 1
fi
go vet ./...
go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 -checks 'inherit,-ST1005' ./...
go test ./pkg
go mod verify >/dev/null
for script in bin/*.sh scripts/*.sh; do sh -n "$script"; done
