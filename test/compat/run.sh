#!/bin/sh
# Installs what the tests of other people's programs need, then runs them.
# GREGOR_COMPAT_CACHE names the directory where downloads stay.
set -e
cd "$(dirname "$(readlink -f "$0")")/../.."
. test/compat/install.sh
exec go test -tags compat -count=1 -timeout 35m ./test/compat/... "$@"
