// Package compat runs other people's clients, tools and brokers against ours.
//
// Its tests carry the build tag compat and are run by `make compat`, which
// installs what they need: Debian's packages, Apache Kafka and ZooKeeper by
// Maven, Python's and Node's clients by pip and npm, each at a pinned version.
// harness_test.go starts the parties: every server is a process of its own on
// a free port of the loopback and ends with its test.
package compat
