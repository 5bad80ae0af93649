package config

// Type is the type of a setting's value.
type Type int8

const (
	Bool Type = iota + 1
	String
	Int
	Short
	Long
	Double
	List
	Class
	Password
)

var typeNames = [...]string{"UNKNOWN", "BOOLEAN", "STRING", "INT", "SHORT", "LONG", "DOUBLE", "LIST", "CLASS", "PASSWORD"}

// String is Kafka's name of the type, as error texts have it. The number of
// a Type is its number on the wire (DescribeConfigs v3), 0 being unknown.
func (t Type) String() string {
	if t < 0 || int(t) >= len(typeNames) {
		return typeNames[0]
	}
	return typeNames[t]
}

// Importance is how much a setting matters to somebody who sets up a broker.
type Importance int8

const (
	High Importance = iota
	Medium
	Low
)

// Mode says whether a setting may change while the broker runs.
type Mode int8

const (
	ReadOnly    Mode = iota // only in the file
	PerBroker               // in /config/brokers/ID
	ClusterWide             // there, or in /config/brokers/<default>
)

// Null is the default of a setting that has no value unless one is given.
const Null = "\x00null"

// Inert says why a setting has no effect; it is empty for one that has.
type Inert string

const (
	notYet     Inert = "it is not implemented yet"
	noPool     Inert = "there are no such threads, queues or sweeps here: each connection is served by itself"
	onlyJVM    Inert = "it means something in a Java virtual machine only"
	onlyQuorum Inert = "it is for a cluster without ZooKeeper"
	neverRead  Inert = "Kafka does not read it either"
)

// Key is one setting.
type Key struct {
	Name       string
	Type       Type
	Default    string // as it would be written in a file, or Null
	Check      check  // nil when every value of the type is good
	Importance Importance
	Mode       Mode
	Internal   bool   // not shown by DescribeConfigs
	Inert      Inert  // why it does nothing; empty when it does
	Server     string // of a topic's setting: the broker's setting it defaults to
	Doc        string
}

// Sensitive reports whether the value must never be shown.
func (k *Key) Sensitive() bool { return k.Type == Password }

// BrokerKeys is the table of broker settings in the order of definition.
var BrokerKeys = concat(keysZooKeeper, keysGeneral, keysNetwork, keysLog, keysReplication,
	keysCoordinators, keysMetrics, keysSecurity, keysQuorum)

var (
	brokerKeyByName = byName(BrokerKeys)
	topicKeyByName  = byName(TopicKeys)
)

// BrokerKey finds a broker setting; nil when there is none of that name.
func BrokerKey(name string) *Key { return brokerKeyByName[name] }

// TopicKey finds a topic setting; nil when there is none of that name.
func TopicKey(name string) *Key { return topicKeyByName[name] }

func concat(groups ...[]Key) []Key {
	var all []Key
	for _, group := range groups {
		all = append(all, group...)
	}
	return all
}

func byName(keys []Key) map[string]*Key {
	index := make(map[string]*Key, len(keys))
	for i := range keys {
		if index[keys[i].Name] != nil {
			panic("two settings are called " + keys[i].Name)
		}
		index[keys[i].Name] = &keys[i]
	}
	return index
}
