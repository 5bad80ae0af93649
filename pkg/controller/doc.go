// Package controller is the elected brain of a cluster: it decides who leads
// which partition and brings topics, partitions and replicas to where
// ZooKeeper says they should be.
//
// Every broker has a Controller; one of them is active. The active one has a
// machine: the cluster in memory and, as methods, the events that change it.
// The machine is plain code without goroutines, sockets and clock; it reads
// and writes znodes through Store and talks to brokers through Sender. Events
// come from watches, from brokers' answers, from timers and from the API, and
// run one after another on one goroutine.
//
// Where things are:
//
//	controller.go  the shell: queue, election, resignation, sessions, timers
//	machine.go     states of partitions, elections; election.go has the rules
//	replicas.go    states of replicas, ISR removal
//	batch.go       the requests that one step sends
//	failover.go    becoming active, notifications, controlled shutdown
//	alter_isr.go   ISRs that leaders propose (KIP-497)
//	elect_leaders.go, preferred.go   elections that were asked for, rebalance
//	assignment.go, reassign.go, reassign_requests.go   reassignment (KIP-455)
//	topics.go, brokers.go, deletion.go   events by theme
//	channels.go    one connection and queue for each broker (Sender)
//	zk.go          Store over zkstore
//
// Fencing: every write is a transaction that checks the version of
// /controller_epoch. When the check fails another controller was elected, and
// the machine is thrown away with everything in it.
//
// Callers: broker (starts, stops, gives it the API's calls), api.
// Goroutines: the event loop, and one for each channel; all end with
// Shutdown. Locks: queue.mu, channels.mu and channel.mu are leaves, held for
// no call out.
//
// Not here: what brokers do with the requests (replica, metadata), throttles
// of reassignments (configurations that replica goes by), the registration of
// the broker (broker).
package controller
