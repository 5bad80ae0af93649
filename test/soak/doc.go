// Package soak runs long histories of clusters of processes.
//
// Its tests carry the build tag soak and are run by `make soak`. Every broker
// is a process of ours, killed, stopped, cut off and moved under load again
// and again, and in the end nothing that was acknowledged may be missing. A
// seed decides what happens; it is shown, and GREGOR_SEED repeats it.
package soak
