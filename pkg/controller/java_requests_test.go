package controller

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/config"
	"gregor/pkg/model"
)

// TestRequestsAreThoseOfJava runs testdata/java/*.txt: commands, and after
// each what a controller of Kafka 2.8.2 sent to the brokers, which the test
// of the same name in test/compat has recorded. Broker 0 is the controller;
// what it sends to itself is left out.
func TestRequestsAreThoseOfJava(t *testing.T) {
	files, err := filepath.Glob("testdata/java/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			compareWithJava(t, string(text))
		})
	}
}

func compareWithJava(t *testing.T, text string) {
	w := newWorld(t)
	w.quiet = true
	w.set.ID = 0
	w.set.Versions = VersionsFor(config.IBP_2_8_IV1)
	began := false
	for _, step := range strings.Split(text, "\n> ")[1:] {
		lines := strings.Split(strings.TrimRight(step, "\n"), "\n")
		words := strings.Fields(lines[0])
		if words[0] == "ibp" {
			v, err := config.ParseVersion(words[1])
			require.NoError(t, err)
			w.set.Versions = VersionsFor(v)
			continue
		}
		if !began {
			began = true
			w.register([]string{"0"})
			w.run([]string{"elect"})
			w.answerAll()
		}
		w.happen(words)
		want := byBroker(javaRequests(t, lines[1:]))
		if strings.Contains(lines[0], "=cancel") {
			// See removeReplicas: Kafka stops these with an epoch that the
			// broker refuses.
			want = stopEpoch.ReplaceAllString(want, "$1-1,$2")
		}
		require.Equal(t, want, byBroker(w.answerAll()), "> %s", lines[0])
	}
}

var stopEpoch = regexp.MustCompile(`("LeaderEpoch":)\d+,("Delete":)`)

// javaRequests reads what the controller sent, by broker.
func javaRequests(t *testing.T, lines []string) map[model.BrokerID][]string {
	t.Helper()
	sent := map[model.BrokerID][]string{}
	for _, line := range lines {
		if strings.HasPrefix(line, "#") {
			continue
		}
		var id model.BrokerID
		var name string
		_, err := fmt.Sscanf(line, "%d %s", &id, &name)
		require.NoError(t, err, line)
		req := map[string]kmsg.Request{"LeaderAndISR": &kmsg.LeaderAndISRRequest{}, "UpdateMetadata": &kmsg.UpdateMetadataRequest{},
			"StopReplica": &kmsg.StopReplicaRequest{}}[name]
		require.NotNil(t, req, line)
		require.NoError(t, json.Unmarshal([]byte(line[strings.Index(line, "{"):]), req))
		sent[id] = append(sent[id], everyField(t, req))
	}
	return sent
}

// everyField writes what a request has on the wire; null and empty lists are
// the same here.
func everyField(t *testing.T, req kmsg.Request) string {
	sent := kmsg.RequestForKey(req.Key())
	sent.SetVersion(req.GetVersion())
	require.NoError(t, sent.ReadFrom(req.AppendTo(nil)))
	text, err := json.Marshal(sent)
	require.NoError(t, err)
	return kmsg.NameForKey(req.Key()) + strings.ReplaceAll(string(text), ":[]", ":null")
}

func byBroker(sent map[model.BrokerID][]string) string {
	var text strings.Builder
	for _, id := range sortedKeys(sent) {
		for _, req := range sent[id] {
			fmt.Fprintf(&text, "%d %s\n", id, req)
		}
	}
	return text.String()
}

// happen runs a command of these scripts, which say less than the others'.
func (w *world) happen(words []string) {
	args := words[1:]
	switch words[0] {
	case "up":
		w.run(append(append([]string{"brokers"}, w.registered()...), args...))
	case "down":
		ids := w.registered()
		w.run(append([]string{"brokers"}, slices.DeleteFunc(ids, func(id string) bool { return id == args[0] })...))
	case "state": // the leader writes, and a watch tells
		w.run(words)
		w.run([]string{"statechange", args[0]})
	default:
		w.run(words)
	}
}

// answerAll lets all brokers answer until nothing is left to say, and returns
// what they were sent.
func (w *world) answerAll() map[model.BrokerID][]string {
	sent := map[model.BrokerID][]string{}
	for len(w.pending) > 0 {
		for _, p := range w.pending {
			if p.to != 0 {
				sent[p.to] = append(sent[p.to], everyField(w.t, p.req))
			}
		}
		asked := w.pending
		w.pending = nil
		for _, p := range asked {
			if p.answered != nil {
				p.answered(respond(p.req, 0, func(string, int32) int16 { return 0 }))
			}
		}
		w.runPosted()
	}
	return sent
}
