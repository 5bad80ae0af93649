package logging

import (
	"io"
	"testing"
)

func BenchmarkLine(b *testing.B) {
	log := New(io.Discard).Logger("kafka.server.KafkaServer")
	b.ReportAllocs()
	for b.Loop() {
		log.Info("one line")
	}
}

func BenchmarkLineThatIsOff(b *testing.B) {
	log := New(io.Discard).Logger("kafka.server.KafkaServer")
	b.ReportAllocs()
	for b.Loop() {
		log.Debug("one line")
	}
}
