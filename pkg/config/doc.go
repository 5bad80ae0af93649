// Package config holds every setting of a broker and of a topic in one table
// and reads, checks, layers and describes them.
//
// The table is []Key: name, type, default, check, importance, how it may
// change while running, whether it has an effect, doc. It is split over the
// keys_*.go files in the order in which Kafka defines the settings, which is
// also the order in which they are checked. A Broker is an immutable view of
// one broker's settings: the file, then --override, then what /config/brokers
// holds for all brokers, then for this one. A Topic is a view of a topic's
// settings: what the broker says, then the topic's own.
//
// Properties reads files as java.util.Properties does and remembers line
// numbers. An *Error is a refused value: its text and its Java class are what
// Kafka prints, its Hint is a second sentence for people. A Warning is about
// a setting that is unknown, removed or without effect.
//
// The package has no goroutine and no lock; every value is immutable after it
// was made and safe for concurrent use. Only broker, admin, api and cli know
// settings by name; the engines take plain options. Not here: znodes (admin,
// zkstore), the properties of ZooKeeper (zookeeper/server) and of clients.
package config
