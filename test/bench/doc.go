// Package bench measures a broker of ours and one of Apache Kafka side by
// side: both run at the same time on one machine, in chroots of the same
// ZooKeeper (ours), under the same load, turn by turn. `make bench` prints a
// table of absolute figures and ratios.
//
// Its tests carry the build tag bench. harness_test.go starts the processes
// and reads what the system knows of them; wire_test.go and load_test.go are
// the client, which replays requests that were encoded beforehand so that it
// takes as little of the machine as possible; the rows are in rows_*_test.go.
//
// CPU is user and system time of the whole broker process; memory is what is
// resident. A figure is the median of several runs, and between two runs of
// one broker lies one of the other, so that a machine that slows down slows
// both. Most of what producing costs is the kernel's, whoever asks it; for that
// reason the same load also goes to a bare server, which only reads, sums up,
// writes and answers. `make bench` takes some minutes; test/bench/run.sh -run
// 'TestBench/produce' takes one group of rows.
package bench
