// Command sarama writes to and reads from a topic as sarama does when it is
// told that the broker is of an older version:
//
//	sarama produce BROKER TOPIC VERSION CODECS LABEL COUNT
//	sarama consume BROKER TOPIC VERSION COUNT
//
// produce sends, for each of CODECS (none,gzip,...), COUNT values
// "LABEL_CODEC-0" and so on; consume prints COUNT values of partition 0 in
// their order.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	config := sarama.NewConfig()
	version, err := sarama.ParseKafkaVersion(args[3])
	if err != nil {
		return err
	}
	config.Version = version
	config.ApiVersionsRequest = false
	count, err := strconv.Atoi(args[len(args)-1])
	if err != nil {
		return err
	}
	if args[0] == "produce" {
		for _, codec := range strings.Split(args[4], ",") {
			if err := config.Producer.Compression.UnmarshalText([]byte(codec)); err != nil {
				return err
			}
			if err := produce(config, args[1], args[2], args[5]+"_"+codec, count); err != nil {
				return err
			}
		}
		return nil
	}
	return consume(config, args[1], args[2], count)
}

func produce(config *sarama.Config, broker, topic, label string, count int) error {
	config.Producer.Return.Successes = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	producer, err := sarama.NewSyncProducer([]string{broker}, config)
	if err != nil {
		return err
	}
	defer producer.Close()
	var messages []*sarama.ProducerMessage
	for i := range count {
		messages = append(messages, &sarama.ProducerMessage{Topic: topic, Partition: 0, Key: sarama.StringEncoder("key"),
			Value: sarama.StringEncoder(fmt.Sprintf("%s-%d", label, i))})
	}
	return producer.SendMessages(messages)
}

func consume(config *sarama.Config, broker, topic string, count int) error {
	consumer, err := sarama.NewConsumer([]string{broker}, config)
	if err != nil {
		return err
	}
	defer consumer.Close()
	partition, err := consumer.ConsumePartition(topic, 0, sarama.OffsetOldest)
	if err != nil {
		return err
	}
	defer partition.Close()
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	limit := time.After(30 * time.Second)
	for range count {
		select {
		case m := <-partition.Messages():
			fmt.Fprintf(out, "%s\n", m.Value)
		case err := <-partition.Errors():
			return err
		case <-limit:
			return fmt.Errorf("not all came within 30 seconds")
		}
	}
	return nil
}
