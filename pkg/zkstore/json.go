package zkstore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"gregor/pkg/model"
)

// encodeJSON gives compact JSON without HTML escapes, as Kafka writes it. It
// is called with types of this package only, which cannot fail.
func encodeJSON(v any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(fmt.Sprintf("zkstore: %T: %v", v, err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'})
}

// decodeJSON reads an object; keys that into does not have are ignored.
func decodeJSON(path string, data []byte, into any) error {
	if len(data) == 0 {
		return badData(path, "no content where JSON is expected")
	}
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return badData(path, "%s is not a JSON object", quoteShort(data))
	}
	if err := json.Unmarshal(data, into); err != nil {
		return badData(path, "%v in %s", err, quoteShort(data))
	}
	return nil
}

func quoteShort(data []byte) string {
	const most = 120
	if len(data) > most {
		return strconv.Quote(string(data[:most])) + "..."
	}
	return strconv.Quote(string(data))
}

// looseInt is a number that some writers put into quotes.
type looseInt int64

func (n *looseInt) UnmarshalJSON(b []byte) error {
	value, err := strconv.ParseInt(string(bytes.Trim(b, `"`)), 10, 64)
	if err != nil {
		return fmt.Errorf("%s is not a number", quoteShort(b))
	}
	*n = looseInt(value)
	return nil
}

// partitionJSON is an element of the lists of partitions in several znodes.
type partitionJSON struct {
	Topic     *string `json:"topic"`
	Partition *int32  `json:"partition"`
}

type partitionListJSON struct {
	Version    int32           `json:"version"`
	Partitions []partitionJSON `json:"partitions"`
}

func encodePartitions(tps []model.TopicPartition) []byte {
	list := partitionListJSON{Version: 1, Partitions: []partitionJSON{}}
	for _, tp := range tps {
		list.Partitions = append(list.Partitions, partitionJSON{&tp.Topic, &tp.Partition})
	}
	return encodeJSON(list)
}

func decodePartitions(path string, data []byte) ([]model.TopicPartition, error) {
	var list partitionListJSON
	if err := decodeJSON(path, data, &list); err != nil {
		return nil, err
	}
	if list.Partitions == nil {
		return nil, badData(path, "no partitions in %s", quoteShort(data))
	}
	var tps []model.TopicPartition
	for i, p := range list.Partitions {
		tp, err := p.decode(path, i)
		if err != nil {
			return nil, err
		}
		tps = append(tps, tp)
	}
	return tps, nil
}

func (p partitionJSON) decode(path string, i int) (model.TopicPartition, error) {
	if p.Topic == nil || *p.Topic == "" || p.Partition == nil || *p.Partition < 0 {
		return model.TopicPartition{}, badData(path, "partitions[%d] has no topic or no partition number", i)
	}
	return model.TopicPartition{Topic: *p.Topic, Partition: *p.Partition}, nil
}
