#!/bin/sh
# Runs one command of the gregor binary for a script in bin/, and builds the
# binary first when it is missing.
# usage: scripts/run.sh COMMAND SCRIPT [ARGUMENT]...
home=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd) || exit 1
command=$1
program=$2
shift 2

usage() {
	echo "USAGE: $program $1"
	exit 1
}

case $command in
kafka.Kafka)
	[ $# -ge 1 ] || usage '[-daemon] server.properties [--override property=value]*'
	log=kafkaServer.out ;;
org.apache.zookeeper.server.quorum.QuorumPeerMain)
	[ $# -ge 1 ] || usage '[-daemon] zookeeper.properties'
	log=zookeeper.out ;;
kafka-run-class)
	[ $# -ge 1 ] || usage '[-daemon] [-name servicename] [-loggc] classname [opts]'
	log= daemon=
	while :; do
		case $1 in
		-daemon) daemon=yes; shift ;;
		-name) log=$2.out; shift 2 ;;
		-loggc) shift ;;
		*) break ;;
		esac
	done
	log=${daemon:+${log:-.out}}
	set -- ${daemon:+-daemon} "$@" ;;
*)
	log= ;;
esac

[ -x "$home/bin/gregor" ] || "$home/scripts/build.sh" >&2 || exit 1

export GREGOR_PROGRAM="$program" GREGOR_HOME="$home"
if [ -n "$log" ]; then
	: "${LOG_DIR:=$home/logs}"
	export LOG_DIR
	mkdir -p "$LOG_DIR" || exit 1
	if [ "$1" = -daemon ]; then
		shift
		nohup "$home/bin/gregor" "$command" "$@" >"$LOG_DIR/$log" 2>&1 </dev/null &
		exit 0
	fi
fi
exec "$home/bin/gregor" "$command" "$@"
