package cli

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"gregor/pkg/model"
)

// proposal is a file with partitions and their replicas.
type proposal struct {
	partitions []model.TopicPartition // in the order of the file, each as often as it is there
	replicas   map[model.TopicPartition][]model.BrokerID
	dirs       map[replicaOf]string // log directories; "any" is none
}

// replicaOf is one replica of a partition: "t-0-1" is that of t-0 on broker 1.
type replicaOf struct {
	model.TopicPartition
	broker model.BrokerID
}

func (r replicaOf) String() string { return r.TopicPartition.String() + "-" + r.broker.String() }

// badJSON is what is said of a file that is none.
func badJSON() error { return exceptionf(adminOperation, "The input string is not a valid JSON") }

// versionOne reads a document, of which there is only version 1.
func versionOne(document any) (map[string]any, error) {
	object, err := jsonObject(document)
	if err != nil {
		return nil, err
	}
	if _, ok := object["version"]; ok {
		version, err := jsonInteger(object, "version", jsonInt)
		if err != nil {
			return nil, err
		}
		if version != 1 {
			return nil, exceptionf(adminOperation, "Not supported version field value %d", version)
		}
	}
	return object, nil
}

// jsonObjects are the objects of a field that may be missing.
func jsonObjects(object map[string]any, name string) ([]map[string]any, error) {
	value, ok := object[name]
	if !ok {
		return nil, nil
	}
	list, err := jsonArray(value)
	if err != nil {
		return nil, err
	}
	objects := make([]map[string]any, len(list))
	for i, element := range list {
		if objects[i], err = jsonObject(element); err != nil {
			return nil, err
		}
	}
	return objects, nil
}

// parseProposal reads the file of --reassignment-json-file.
func parseProposal(content []byte) (*proposal, error) {
	if len(content) == 0 {
		return nil, exceptionf(adminOperation, "The input string shouldn't be empty\n at [Source: UNKNOWN; line: -1, column: -1]")
	}
	document, ok := parseJSON(content)
	if !ok {
		return nil, badJSON()
	}
	object, err := versionOne(document)
	if err != nil {
		return nil, err
	}
	elements, err := jsonObjects(object, "partitions")
	if err != nil {
		return nil, err
	}
	p := &proposal{replicas: map[model.TopicPartition][]model.BrokerID{}, dirs: map[replicaOf]string{}}
	for _, element := range elements {
		if err := p.add(element); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// add reads one partition of the file.
func (p *proposal) add(object map[string]any) error {
	topic, err := jsonString(object, "topic")
	if err != nil {
		return err
	}
	partition, err := jsonInteger(object, "partition", jsonInt)
	if err != nil {
		return err
	}
	tp := model.TopicPartition{Topic: topic, Partition: int32(partition)}
	value, ok := object["replicas"]
	if !ok {
		return exceptionf(jsonMapping, "No such field exists: `%s`", "replicas")
	}
	list, err := jsonArray(value)
	if err != nil {
		return err
	}
	replicas := make([]model.BrokerID, len(list))
	for i, element := range list {
		id, err := jsonInteger(map[string]any{"": element}, "", jsonInt)
		if err != nil {
			return err
		}
		replicas[i] = model.BrokerID(id)
	}
	p.partitions = append(p.partitions, tp)
	p.replicas[tp] = replicas
	if dirs, ok := object["log_dirs"]; ok {
		return p.addDirs(tp, replicas, dirs)
	}
	return nil
}

// addDirs reads the log directories of a partition's replicas.
func (p *proposal) addDirs(tp model.TopicPartition, replicas []model.BrokerID, value any) error {
	list, err := jsonArray(value)
	if err != nil {
		return err
	}
	dirs := make([]string, len(list))
	for i, element := range list {
		if dirs[i], err = jsonString(map[string]any{"": element}, ""); err != nil {
			return err
		}
	}
	if len(dirs) != len(replicas) {
		return exceptionf(adminCommandFailed, "Size of replicas list List(%s) is different from size of log dirs list List(%s) for partition %s",
			strings.ReplaceAll(joinIDs(replicas), ",", ", "), strings.Join(dirs, ", "), tp)
	}
	for i, dir := range dirs {
		if dir != anyLogDir {
			p.dirs[replicaOf{tp, replicas[i]}] = dir
		}
	}
	return nil
}

// anyLogDir leaves the choice of a log directory to the broker.
const anyLogDir = "any"

// checkExecutable refuses what verify and cancel take.
func (p *proposal) checkExecutable() error {
	if len(p.partitions) == 0 {
		return exceptionf(adminCommandFailed, "Partition reassignment list cannot be empty")
	}
	for _, tp := range p.partitions {
		if len(p.replicas[tp]) == 0 {
			return exceptionf(adminCommandFailed, "Partition replica list cannot be empty")
		}
	}
	if twice := repeated(p.partitions); len(twice) > 0 {
		return exceptionf(adminCommandFailed, "Partition reassignment contains duplicate topic partitions: %s", joinPartitions(twice, ","))
	}
	var wrong []string
	for _, tp := range p.partitions {
		if twice := repeated(p.replicas[tp]); len(twice) > 0 {
			wrong = append(wrong, tp.String()+" contains multiple entries for "+joinIDs(twice))
		}
	}
	if len(wrong) > 0 {
		return exceptionf(adminCommandFailed, "Partition replica lists may not contain duplicate entries: %s", strings.Join(wrong, ". "))
	}
	return nil
}

// repeated lists what is there more than once, each once.
func repeated[T comparable](list []T) []T {
	count := map[T]int{}
	var twice []T
	for _, element := range list {
		if count[element]++; count[element] == 2 {
			twice = append(twice, element)
		}
	}
	return twice
}

// sorted are the partitions, each once, by topic and number.
func (p *proposal) sorted() []model.TopicPartition { return sortedPartitions(p.replicas) }

// topics are those of the partitions, in the order in which a Set of Scala
// shows them.
func (p *proposal) topics() []string {
	var names []string
	for _, tp := range p.partitions {
		if !slices.Contains(names, tp.Topic) {
			names = append(names, tp.Topic)
		}
	}
	if len(names) <= 4 {
		return names
	}
	return scalaHashOrder(names, func(name string) uint32 { return uint32(model.JavaStringHash(name)) })
}

// parseGenerate reads the file of --topics-to-move-json-file and --broker-list.
func (c *reassignCommand) parseGenerate(content []byte, brokers string) error {
	for _, word := range strings.Split(brokers, ",") {
		id, err := strconv.ParseInt(word, 10, 32)
		if err != nil {
			return exceptionf(numberFormat, "For input string: \"%s\"", word)
		}
		c.brokers = append(c.brokers, int32(id))
	}
	if twice := repeated(c.brokers); len(twice) > 0 {
		return exceptionf(adminCommandFailed, "Broker list contains duplicate entries: %s", joinIDs(twice))
	}
	document, ok := parseJSON(content)
	if !ok {
		return badJSON()
	}
	object, err := versionOne(document)
	if err != nil {
		return err
	}
	elements, err := jsonObjects(object, "topics")
	if err != nil {
		return err
	}
	for _, element := range elements {
		topic, err := jsonString(element, "topic")
		if err != nil {
			return err
		}
		c.topics = append(c.topics, topic)
	}
	if twice := repeated(c.topics); len(twice) > 0 {
		return exceptionf(adminCommandFailed, "List of topics to reassign contains duplicate entries: %s", strings.Join(twice, ","))
	}
	return nil
}

// assignmentJSON writes an assignment as a file for --reassignment-json-file.
func assignmentJSON(assignment map[model.TopicPartition][]model.BrokerID) (string, error) {
	type partition struct {
		Topic     string           `json:"topic"`
		Partition int32            `json:"partition"`
		Replicas  []model.BrokerID `json:"replicas"`
		LogDirs   []string         `json:"log_dirs"`
	}
	document := struct {
		Version    int         `json:"version"`
		Partitions []partition `json:"partitions"`
	}{1, []partition{}}
	for _, tp := range sortedPartitions(assignment) {
		dirs := make([]string, len(assignment[tp]))
		for i := range dirs {
			dirs[i] = anyLogDir
		}
		document.Partitions = append(document.Partitions, partition{tp.Topic, tp.Partition, slices.Clip(assignment[tp]), dirs})
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(document)
	return strings.TrimSuffix(text.String(), "\n"), err
}
