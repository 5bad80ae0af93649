"""What the courses do with confluent-kafka, against the broker in argv[1]."""
import json
import sys
import time

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic

SERVERS = sys.argv[1]
RUN = str(int(time.time() * 1000))


def administer():
    admin = AdminClient({'bootstrap.servers': SERVERS})
    name = 'my_new_topic_' + RUN
    for topic, future in admin.create_topics([NewTopic(name, num_partitions=3, replication_factor=1)]).items():
        future.result()
        print('Topic %s created' % topic)
    for topic, future in admin.create_topics([NewTopic(name, num_partitions=3, replication_factor=1)]).items():
        try:
            future.result()
            assert False, 'created twice'
        except KafkaException as e:
            error = e.args[0]
            assert error.code() == KafkaError.TOPIC_ALREADY_EXISTS, error
            assert error.str() == "Topic '%s' already exists." % name, error.str()
    for topic, future in admin.create_topics([NewTopic('too_many', num_partitions=1, replication_factor=2)]).items():
        try:
            future.result()
            assert False, 'two replicas on one broker'
        except KafkaException as e:
            error = e.args[0]
            assert error.code() == KafkaError.INVALID_REPLICATION_FACTOR, error
            assert error.str() == 'Replication factor: 2 larger than available brokers: 1.', error.str()
    metadata = admin.list_topics(timeout=10)
    assert len(metadata.topics[name].partitions) == 3
    admin.create_partitions([NewPartitions(name, 5)])[name].result()
    resource = ConfigResource(ConfigResource.Type.TOPIC, name)
    admin.alter_configs([ConfigResource(ConfigResource.Type.TOPIC, name, set_config={'retention.ms': '123456'})])
    deadline = time.time() + 10
    while True:
        configs = admin.describe_configs([resource])[resource].result()
        if configs['retention.ms'].value == '123456':
            break
        assert time.time() < deadline, configs['retention.ms']
        time.sleep(0.05)
    admin.delete_topics([name])[name].result()
    deadline = time.time() + 10
    while name in admin.list_topics(timeout=10).topics:
        assert time.time() < deadline, 'the topic stays'
        time.sleep(0.05)


def produce_and_consume():
    topic = 'user_activities_' + RUN
    producer = Producer({'bootstrap.servers': SERVERS})
    delivered = []
    for i in range(50):
        data = {'user_id': 1234 + i, 'activity': 'page_view', 'page': 'homepage'}
        producer.produce(topic, key=str(data['user_id']), value=json.dumps(data), on_delivery=lambda e, m: delivered.append((e, m.offset())))
    producer.flush()
    assert len(delivered) == 50 and all(e is None for e, _ in delivered), delivered
    consumer = Consumer({'bootstrap.servers': SERVERS, 'group.id': 'g' + RUN, 'auto.offset.reset': 'earliest'})
    consumer.subscribe([topic])
    seen = []
    deadline = time.time() + 20
    while len(seen) < 50:
        assert time.time() < deadline, len(seen)
        message = consumer.poll(1.0)
        if message is None:
            continue
        assert not message.error(), message.error()
        seen.append(json.loads(message.value())['user_id'])
    assert sorted(seen) == [1234 + i for i in range(50)]
    consumer.commit(asynchronous=False)
    assert consumer.committed([TopicPartition(topic, 0)])[0].offset == 50
    assert consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10) == (0, 50)
    consumer.close()


def idempotent():
    topic = 'idempotent_' + RUN
    producer = Producer({'bootstrap.servers': SERVERS, 'enable.idempotence': True, 'linger.ms': 1})
    errors = []
    for i in range(5000):
        producer.produce(topic, value=b'%d' % i, on_delivery=lambda e, m: errors.append(e) if e else None)
        producer.poll(0)
    producer.flush()
    assert errors == [], errors[:3]
    consumer = Consumer({'bootstrap.servers': SERVERS, 'group.id': 'i' + RUN, 'auto.offset.reset': 'earliest', 'enable.partition.eof': True})
    consumer.subscribe([topic])
    values = []
    while len(values) < 5000:
        message = consumer.poll(10.0)
        assert message is not None, len(values)
        if not message.error():
            values.append(int(message.value()))
    assert values == list(range(5000))
    consumer.close()


for step in (administer, produce_and_consume, idempotent):
    step()
print('OK', confluent_kafka.version(), confluent_kafka.libversion())
