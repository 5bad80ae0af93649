package config

// keysQuorum is the controller quorum of a Kafka without ZooKeeper.
var keysQuorum = []Key{
	{Name: "controller.quorum.voters", Type: List, Default: "", Check: voters, Importance: High, Internal: true, Inert: onlyQuorum,
		Doc: "Voters of the controller quorum: id@host:port, separated by commas."},
	{Name: "controller.quorum.election.timeout.ms", Type: Int, Default: "1000", Importance: High, Internal: true, Inert: onlyQuorum,
		Doc: "After how long without a leader a voter starts an election."},
	{Name: "controller.quorum.fetch.timeout.ms", Type: Int, Default: "2000", Importance: High, Internal: true, Inert: onlyQuorum,
		Doc: "After how long without a fetch a voter gives its leader up."},
	{Name: "controller.quorum.election.backoff.max.ms", Type: Int, Default: "1000", Importance: High, Internal: true, Inert: onlyQuorum,
		Doc: "Longest pause between two elections."},
	{Name: "controller.quorum.append.linger.ms", Type: Int, Default: "25", Importance: Medium, Internal: true, Inert: onlyQuorum,
		Doc: "How long a leader gathers records before it writes them."},
	{Name: "controller.quorum.request.timeout.ms", Type: Int, Default: "2000", Importance: Medium, Internal: true, Inert: onlyQuorum,
		Doc: "How long a node of the quorum waits for an answer."},
	{Name: "controller.quorum.retry.backoff.ms", Type: Int, Default: "20", Importance: Low, Internal: true, Inert: onlyQuorum,
		Doc: "Pause before a request to the quorum is tried again."},
}
