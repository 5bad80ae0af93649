package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/logging"
	"gregor/pkg/model"
)

// What kafka-leader-election and kafka-preferred-replica-election share: the
// file with the partitions, the request, and how its answer is told.

// electionClient makes the admin client of an election, with the time-outs of
// the tool whatever the properties of the admin client say: so long for the
// whole, and half of it for a request.
func electionClient(ctx context.Context, loggers *logging.Loggers, bootstrap, file string, timeout time.Duration) (*adminClient, error) {
	given, err := readClientProperties(file)
	if err != nil {
		return nil, err
	}
	properties := maps.Clone(given)
	if properties == nil {
		properties = map[string]string{}
	}
	properties["default.api.timeout.ms"] = strconv.FormatInt(timeout.Milliseconds(), 10)
	properties["request.timeout.ms"] = strconv.FormatInt(timeout.Milliseconds()/2, 10)
	return newAdminClient(ctx, loggers, bootstrap, properties)
}

// electionFile reads the partitions of --path-to-json-file, each once. subject
// begins the sentence about one that is there twice; missing is the sentence
// about a file without "partitions", empty the one about a file that is no
// JSON.
func electionFile(path, subject, missing, empty string) ([]model.TopicPartition, error) {
	content, err := readWholeFile(path)
	if err != nil {
		return nil, err
	}
	document, ok := parseJSON(content)
	if !ok {
		return nil, exceptionf(adminOperation, "%s", empty)
	}
	object, err := jsonObject(document)
	if err != nil {
		return nil, err
	}
	field, ok := object["partitions"]
	if !ok {
		return nil, exceptionf(adminOperation, "%s", missing)
	}
	list, err := jsonArray(field)
	if err != nil {
		return nil, err
	}
	partitions, twice, err := electionPartitions(list)
	if err == nil && len(twice) > 0 {
		err = exceptionf(adminOperation, "%s contains duplicate partitions: %s", subject, joinPartitions(twice, ","))
	}
	return partitions, err
}

func electionPartitions(list []any) (partitions, twice []model.TopicPartition, err error) {
	count := map[model.TopicPartition]int{}
	for _, element := range list {
		tp, err := electionPartition(element)
		if err != nil {
			return nil, nil, err
		}
		switch count[tp]++; count[tp] {
		case 1:
			partitions = append(partitions, tp)
		case 2:
			twice = append(twice, tp)
		}
	}
	return partitions, twice, nil
}

func electionPartition(element any) (tp model.TopicPartition, err error) {
	object, err := jsonObject(element)
	if err != nil {
		return tp, err
	}
	if tp.Topic, err = jsonString(object, "topic"); err != nil {
		return tp, err
	}
	n, err := jsonInteger(object, "partition", jsonInt)
	tp.Partition = int32(n)
	return tp, err
}

// electLeaders asks the controller for an election, of all partitions when the
// list is nil.
func electLeaders(ctx context.Context, client *adminClient, unclean bool, partitions []model.TopicPartition) (*kmsg.ElectLeadersResponse, error) {
	req := kmsg.NewPtrElectLeadersRequest()
	req.TimeoutMillis = int32(client.settings.apiTimeout / time.Millisecond)
	if unclean {
		req.ElectionType = 1
	}
	if partitions != nil {
		req.Topics = []kmsg.ElectLeadersRequestTopic{}
	}
	at := map[string]int{}
	for _, tp := range partitions {
		i, ok := at[tp.Topic]
		if !ok {
			i = len(req.Topics)
			at[tp.Topic] = i
			req.Topics = append(req.Topics, kmsg.ElectLeadersRequestTopic{Topic: tp.Topic})
		}
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, tp.Partition)
	}
	resp, err := client.callController(ctx, "electLeaders", req, electedElsewhere)
	if err != nil {
		return nil, err
	}
	answer := resp.(*kmsg.ElectLeadersResponse)
	return answer, protocolError(answer.ErrorCode, nil)
}

// electedElsewhere reports whether the node that answered is not the
// controller any more.
func electedElsewhere(resp kmsg.Response) bool {
	for _, t := range resp.(*kmsg.ElectLeadersResponse).Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode == kerr.NotController.Code {
				return true
			}
		}
	}
	return false
}

// electionWords are the sentences in which a tool tells how an election went.
type electionWords struct {
	done, needless, failed string // the last one takes partition and exception
	count                  string // of failures
	unauthorized           string
}

// electionFailure is an election that did not come about for some partitions.
type electionFailure struct {
	error
	suppressed []error
}

func (e *electionFailure) Unwrap() error { return e.error }

// tellElection prints how each partition fared. Where nothing had to be done
// the tools of 2.8 name the partitions that were elected.
func tellElection(out io.Writer, words electionWords, resp *kmsg.ElectLeadersResponse) error {
	var done, failed []model.TopicPartition
	errs := map[model.TopicPartition]error{}
	needless := false
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			tp := model.TopicPartition{Topic: t.Topic, Partition: p.Partition}
			switch err := protocolError(p.ErrorCode, p.ErrorMessage); {
			case err == nil:
				done = append(done, tp)
			case errors.Is(err, kerr.ElectionNotNeeded):
				needless = true
			default:
				failed, errs[tp] = append(failed, tp), err
			}
		}
	}
	list := joinPartitions(scalaHashOrder(done, partitionHash), ", ")
	if len(done) > 0 {
		fmt.Fprintf(out, words.done+"\n", list)
	}
	if needless {
		fmt.Fprintf(out, words.needless+"\n", list)
	}
	if len(failed) == 0 {
		return nil
	}
	failure := &electionFailure{error: exceptionf(adminCommandFailed, words.count, len(failed))}
	for _, tp := range scalaHashOrder(failed, partitionHash) {
		fmt.Fprintf(out, words.failed+"\n", tp, describe(errs[tp]))
		failure.suppressed = append(failure.suppressed, errs[tp])
	}
	return failure
}

// electionRefused is how an election ends that nobody answered, or refused as
// a whole.
func electionRefused(out io.Writer, words electionWords, err error) error {
	text := ""
	switch {
	case errors.Is(err, kerr.RequestTimedOut) || javaClass(err) == kerr.RequestTimedOut.JavaClass():
		text = "Timeout waiting for election results"
	case errors.Is(err, kerr.ClusterAuthorizationFailed):
		text = words.unauthorized
	default:
		return execution(err)
	}
	fmt.Fprintln(out, text)
	return causedBy(err, adminCommandFailed, "%s", text)
}

// endElection ends a tool as an exception that it does not catch, with those
// of the partitions.
func endElection(env *Env, err error) int {
	if err == nil {
		return 0
	}
	status := uncaught(env, err)
	var failure *electionFailure
	if errors.As(err, &failure) {
		for _, one := range failure.suppressed {
			fmt.Fprintln(env.Stderr, "\tSuppressed: "+describe(one))
		}
	}
	return status
}

func joinPartitions(partitions []model.TopicPartition, between string) string {
	names := make([]string, len(partitions))
	for i, tp := range partitions {
		names[i] = tp.String()
	}
	return strings.Join(names, between)
}
