package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
)

// JSON files of tools, read with the complaints that Kafka's reader has.

// jsonMapping is the class of what Jackson says about JSON that is not what it
// should be.
const jsonMapping = "com.fasterxml.jackson.databind.JsonMappingException"

// readWholeFile reads a file that an option names.
func readWholeFile(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, causedBy(exceptionf(noSuchFile, "%s", path), "java.io.IOException", "Unable to read file %s", path)
	}
	return content, err
}

// parseJSON reads one JSON value; what stands behind it does not count.
func parseJSON(content []byte) (document any, ok bool) {
	d := json.NewDecoder(bytes.NewReader(content))
	d.UseNumber()
	return document, d.Decode(&document) == nil
}

func jsonObject(v any) (map[string]any, error) {
	object, ok := v.(map[string]any)
	if !ok {
		return nil, exceptionf(jsonMapping, "Expected JSON object, received %s", jsonText(v))
	}
	return object, nil
}

func jsonArray(v any) ([]any, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, exceptionf(jsonMapping, "Expected JSON array, received %s", jsonText(v))
	}
	return list, nil
}

// jsonString is a field of an object that must be there and be a string.
func jsonString(object map[string]any, name string) (string, error) {
	v, ok := object[name]
	if !ok {
		return "", exceptionf(jsonMapping, "No such field exists: `%s`", name)
	}
	text, ok := v.(string)
	if !ok {
		return "", exceptionf(jsonMapping, "Expected `String` value, received %s", jsonText(v))
	}
	return text, nil
}

// jsonKind is a kind of number, by Scala's name.
type jsonKind string

const (
	jsonInt  jsonKind = "Int"
	jsonLong jsonKind = "Long"
)

// jsonInteger is a field of an object that must be there and be a number of
// the kind.
func jsonInteger(object map[string]any, name string, kind jsonKind) (int64, error) {
	v, ok := object[name]
	if !ok {
		return 0, exceptionf(jsonMapping, "No such field exists: `%s`", name)
	}
	number, ok := v.(json.Number)
	n, err := number.Int64()
	if !ok || err != nil || kind == jsonInt && n != int64(int32(n)) {
		return 0, exceptionf(jsonMapping, "Expected `%s` value, received %s", kind, jsonText(v))
	}
	return n, nil
}

// jsonText is a value as it was written, without blanks.
func jsonText(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return "?" // nothing that was decoded
	}
	return string(text)
}
