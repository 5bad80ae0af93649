# Sourced by run.sh: brings the programs that the tests talk to, each by the
# ordinary client of its kind and at a pinned version. What is there already
# is not fetched again.
cache=${GREGOR_COMPAT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gregor-compat}
export GREGOR_COMPAT_CACHE="$cache"
mkdir -p "$cache"

need_debian() { # COMMAND PACKAGE
	command -v "$1" >/dev/null 2>&1 && return
	[ -n "$updated" ] || apt-get update -q >&2
	updated=yes
	apt-get install -y -q --no-install-recommends "$2" >&2
}

need_debian kcat kcat
need_debian java default-jre-headless
need_debian mvn maven
need_debian python3 python3
need_debian node nodejs
need_debian npm npm

python3 -c 'import venv, ensurepip' 2>/dev/null || apt-get install -y -q --no-install-recommends python3-venv >&2

need_python() { # DIRECTORY PACKAGE...
	venv=$cache/python-$1
	shift
	[ "$(cat "$venv/complete" 2>/dev/null)" = "$*" ] && return
	rm -rf "$venv"
	python3 -m venv "$venv" >&2
	"$venv/bin/pip" install -q --disable-pip-version-check "$@" >&2
	echo "$*" >"$venv/complete"
}

need_python kafka-python-1.4.7 'kafka-python==1.4.7' 'six==1.16.0' 'setuptools==75.3.0'
need_python kafka-python-2.0.2 'kafka-python==2.0.2' 'six==1.16.0' 'setuptools==75.3.0'
need_python old-formats 'kafka-python==1.4.7' 'six==1.16.0' 'setuptools==75.3.0' 'python-snappy==0.7.3' 'lz4==4.4.4' 'xxhash==3.5.0'
need_python current 'kafka-python==3.0.12' 'confluent-kafka==2.16.1' 'kazoo==2.11.0'

if [ ! -e "$cache/node/complete" ]; then
	mkdir -p "$cache/node"
	npm install --silent --no-audit --no-fund --prefix "$cache/node" kafkajs@2.2.4 >&2
	touch "$cache/node/complete"
fi
