package api

// Without an authorizer everybody may do everything: the operations in an
// answer (KIP-430) are all that exist for the kind of resource, as a bit field
// over their codes.
const (
	// notAskedOperations stands in answers to who does not want to know.
	notAskedOperations int32 = -1 << 31
	// create 5, alter 7, describe 8, cluster action 9, describe configs 10,
	// alter configs 11, idempotent write 12
	allClusterOperations int32 = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12
	// read 3, write 4, create 5, delete 6, alter 7, describe 8, describe
	// configs 10, alter configs 11
	allTopicOperations int32 = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11
	// read 3, delete 6, describe 8
	allGroupOperations int32 = 1<<3 | 1<<6 | 1<<8
)
