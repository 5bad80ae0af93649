package config

import "testing"

func BenchmarkParseBroker(b *testing.B) {
	p, err := ReadProperties("../../config/server.properties")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, _, err := ParseBroker(p, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseTopic(b *testing.B) {
	broker := parse(b)
	for b.Loop() {
		if _, err := ParseTopic(broker, map[string]string{"retention.ms": "5"}); err != nil {
			b.Fatal(err)
		}
	}
}
