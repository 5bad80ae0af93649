"""Deletes records and moves a partition between log directories, by kafka-python
and confluent-kafka: broker in argv[1], its log directories behind it."""
import sys
import time

from confluent_kafka import OFFSET_END, KafkaException
from confluent_kafka import TopicPartition as Confluent
from confluent_kafka.admin import AdminClient, NewTopic
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import LogDirNotFoundError, NoError

SERVERS, DIRS = sys.argv[1], sys.argv[2:]
TOPIC = 'moved'


def replicas(admin):
    """Where the partitions of the topic are: {(directory, partition): future}."""
    found = {}
    for broker in admin.describe_log_dirs({TOPIC: [0, 1]}):
        for d in broker['log_dirs']:
            assert d['error_code'] == 0, d
            for t in d['topics']:
                for p in t['partitions']:
                    found[d['log_dir'], p['partition_index']] = p['is_future_key']
    return found


def settled(admin, directory):
    end = time.time() + 30
    while time.time() < end:
        found = replicas(admin)
        if found.get((directory, 0)) is False and not any(found.values()):
            return
        time.sleep(0.05)
    raise AssertionError('not in %s: %s' % (directory, replicas(admin)))


confluent = AdminClient({'bootstrap.servers': SERVERS})
confluent.create_topics([NewTopic(TOPIC, num_partitions=2, replication_factor=1)])[TOPIC].result()
producer = KafkaProducer(bootstrap_servers=SERVERS)
for i in range(1000):
    producer.send(TOPIC, b'%d' % i, partition=0)
producer.flush()

admin = KafkaAdminClient(bootstrap_servers=SERVERS)
assert {d for b in admin.describe_log_dirs() for d in [x['log_dir'] for x in b['log_dirs']]} == set(DIRS)
for directory in DIRS + DIRS:
    answer = admin.alter_replica_log_dirs({(TOPIC, 0, 0): directory})
    assert list(answer.values()) == [NoError], answer
    settled(admin, directory)
    for i in range(10):
        producer.send(TOPIC, b'more', partition=0)
    producer.flush()
assert list(admin.alter_replica_log_dirs({(TOPIC, 0, 0): '/nowhere'}).values()) == [LogDirNotFoundError]

low = admin.delete_records({TopicPartition(TOPIC, 0): 7})
assert low[TopicPartition(TOPIC, 0)]['low_watermark'] == 7, low
deleted = confluent.delete_records([Confluent(TOPIC, 0, 12), Confluent(TOPIC, 1, OFFSET_END)])
assert {(tp.partition, f.result().low_watermark) for tp, f in deleted.items()} == {(0, 12), (1, 0)}
for future in confluent.delete_records([Confluent(TOPIC, 0, 5000)]).values():
    try:
        future.result()
        raise AssertionError('deleted what is not there')
    except KafkaException as e:
        assert e.args[0].name() == 'OFFSET_OUT_OF_RANGE', e

consumer = KafkaConsumer(bootstrap_servers=SERVERS, auto_offset_reset='earliest', consumer_timeout_ms=20000)
partition = TopicPartition(TOPIC, 0)
consumer.assign([partition])
assert consumer.beginning_offsets([partition])[partition] == 12
end = consumer.end_offsets([partition])[partition]
offsets = []
for record in consumer:
    offsets.append(record.offset)
    assert record.offset >= 1000 or record.value == b'%d' % record.offset
    if record.offset == end - 1:
        break
assert offsets == list(range(12, 1000 + 10 * 2 * len(DIRS))), offsets
print('OK')
