"""librdkafka in a history: usage history.py BOOTSTRAP TOPIC PARTITIONS.

Reads lines "PARTITION VALUE" from its standard input, writes each value to
its partition as an idempotent producer, and reads all partitions meanwhile.
Prints "ack PARTITION OFFSET VALUE" and "read PARTITION OFFSET VALUE". When
the input ends it sends what is under way and prints "done N" with the number
of records that are neither acknowledged nor refused.
"""
import sys
import threading

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

bootstrap, topic, partitions = sys.argv[1], sys.argv[2], int(sys.argv[3])
common = {"bootstrap.servers": bootstrap, "socket.timeout.ms": 3000, "reconnect.backoff.max.ms": 500, "topic.metadata.refresh.interval.ms": 2000,
          "topic.metadata.propagation.max.ms": 120000, "log_level": 0}
lock = threading.Lock()


def say(*words):
    with lock:
        print(*words, flush=True)


def new_producer():
    return Producer({**common, "enable.idempotence": True, "acks": "all", "request.timeout.ms": 2000, "message.timeout.ms": 0, "linger.ms": 1,
                     "retry.backoff.ms": 50, "queue.buffering.max.messages": 100000})


def delivered(err, message):
    if err is None:
        offset = message.offset()  # None for a duplicate whose offset the broker has forgotten
        say("ack", message.partition(), -1 if offset is None else offset, message.value().decode())


def read(ended):
    consumer = Consumer({**common, "group.id": "history-librdkafka", "enable.auto.commit": False, "auto.offset.reset": "error", "fetch.wait.max.ms": 100,
                         "fetch.error.backoff.ms": 50})
    position = {p: 0 for p in range(partitions)}

    def assign():
        consumer.assign([TopicPartition(topic, p, at) for p, at in position.items()])

    assign()
    while not ended.is_set():
        message = consumer.poll(0.2)
        if message is None:
            continue
        if message.error():
            # A leader of the past knows less than was read already.
            if message.error().code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                assign()
            continue
        say("read", message.partition(), message.offset(), message.value().decode())
        position[message.partition()] = message.offset() + 1
    consumer.close()


ended = threading.Event()
reader = threading.Thread(target=read, args=(ended,))
reader.start()
producer = new_producer()
for line in sys.stdin:
    partition, value = line.rstrip("\n").split(" ", 1)
    while True:
        try:
            producer.produce(topic, value.encode(), partition=int(partition), on_delivery=delivered)
            break
        except BufferError:
            producer.poll(0.1)
        except KafkaException as e:
            # What a leader of the past said can end a producer for good; the
            # records under way may be there or not.
            say("fatal", e)
            producer = new_producer()
    producer.poll(0)
left = producer.flush(60)
ended.set()
reader.join()
say("done", left)
