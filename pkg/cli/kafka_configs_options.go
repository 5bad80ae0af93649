package cli

import (
	"slices"

	"gregor/pkg/cli/jopt"
	"gregor/pkg/config"
)

// newConfigOptions describes the options of kafka-configs.
func newConfigOptions() *configOptions {
	p := jopt.New()
	return &configOptions{
		parser: p,
		zookeeper: p.Accepts("zookeeper", "DEPRECATED. The ZooKeeper servers of the cluster, as host:port, separated by commas, "+
			"with the chroot, if there is one, behind the last.").RequiredArg("urls"),
		bootstrap: p.Accepts("bootstrap-server", "A broker to ask, as host:port; several are separated by commas. "+
			"Either this option or --zookeeper is REQUIRED.").RequiredArg("server to connect to"),
		commandConfig: p.Accepts("command-config", "A properties file with settings of the admin client. "+
			"Only read together with --bootstrap-server.").RequiredArg("command config property file"),
		tlsConfig: p.Accepts("zk-tls-config-file", "A properties file for TLS to ZooKeeper.").RequiredArg("ZooKeeper TLS configuration"),
		alter:     p.Accepts("alter", "Change the configuration of an entity."),
		describe:  p.Accepts("describe", "Show the configuration of an entity, or of all of a type."),
		all:       p.Accepts("all", "With --describe of topics, brokers and loggers: also what comes from the broker's file and the defaults."),
		entityType: p.Accepts("entity-type", "What the name is the name of: topics, clients, users, brokers, broker-loggers or ips. "+
			"users and clients may stand together.").RequiredArg(""),
		entityName:    p.Accepts("entity-name", "The topic, client id, user, broker id or address; one for each --entity-type, in its order.").RequiredArg(""),
		entityDefault: p.Accepts("entity-default", "In place of a name: what holds for those without a configuration of their own."),
		addConfig: p.Accepts("add-config", "Settings to add or replace, as name=value,name=value. Square brackets keep a value with commas together: "+
			"name=[v1,v2]. Known names:\ntopics:"+nameList(topicConfigNames())+
			"\nbrokers:"+nameList(dynamicBrokerConfigNames())+
			"\nusers:"+nameList(slices.Concat([]string{"SCRAM-SHA-256", "SCRAM-SHA-512"}, sortedKeys(clientQuotaKeys)))+
			"\nclients:"+nameList(sortedKeys(clientQuotaKeys))+
			"\nips:"+nameList(sortedKeys(ipQuotaKeys))).RequiredArg(""),
		addConfigFile:  p.Accepts("add-config-file", "A properties file with settings to add or replace.").RequiredArg(""),
		deleteConfig:   p.Accepts("delete-config", "Names of settings to take away, separated by commas.").RequiredArg(""),
		force:          p.Accepts("force", "Asks no questions. The tool asks none."),
		topic:          p.Accepts("topic", "A topic.").RequiredArg(""),
		client:         p.Accepts("client", "A client id.").RequiredArg(""),
		clientDefaults: p.Accepts("client-defaults", "What holds for all clients."),
		user:           p.Accepts("user", "A user.").RequiredArg(""),
		userDefaults:   p.Accepts("user-defaults", "What holds for all users."),
		broker:         p.Accepts("broker", "A broker's id.").RequiredArg(""),
		brokerDefaults: p.Accepts("broker-defaults", "What holds for all brokers."),
		brokerLogger:   p.Accepts("broker-logger", "The id of a broker whose loggers are meant.").RequiredArg(""),
		ip:             p.Accepts("ip", "An address.").RequiredArg(""),
		ipDefaults:     p.Accepts("ip-defaults", "What holds for all addresses."),
	}
}

// replicationQuotas are settings of brokers that exist only below /config.
var replicationQuotas = []string{
	"follower.replication.throttled.rate", "leader.replication.throttled.rate", "replica.alter.log.dirs.io.max.bytes.per.second",
}

// dynamicBrokerConfigNames are the settings of a broker that may change while
// it runs, sorted.
func dynamicBrokerConfigNames() []string {
	names := slices.Clone(replicationQuotas)
	for i := range config.BrokerKeys {
		if config.BrokerKeys[i].Mode != config.ReadOnly {
			names = append(names, config.BrokerKeys[i].Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// clientQuotaKeys and ipQuotaKeys are the quotas of users and clients, and of
// addresses, with the types that their znodes must hold.
var (
	clientQuotaKeys = map[string]clientKey{
		"consumer_byte_rate":       {kind: clientLong, least: 1},
		"controller_mutation_rate": {kind: clientDouble},
		"producer_byte_rate":       {kind: clientLong, least: 1},
		"request_percentage":       {kind: clientDouble},
	}
	ipQuotaKeys = map[string]clientKey{"connection_creation_rate": {kind: clientInt}}
)
