"""kafka-python that takes the broker for an older one.

    old_formats.py produce SERVERS TOPIC VERSION CODECS LABEL COUNT
    old_formats.py consume SERVERS TOPIC VERSION COUNT

produce sends, for each of CODECS (none,gzip,...), COUNT values "LABEL_CODEC-0"
and so on to partition 0; consume prints COUNT values of it in their order.
"""
import sys
import time

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

action, servers, topic, version = sys.argv[1:5]
version = tuple(int(n) for n in version.split('.'))
count = int(sys.argv[-1])

if action == 'produce':
    codecs, label = sys.argv[5:7]
    for codec in codecs.split(','):
        producer = KafkaProducer(bootstrap_servers=servers, api_version=version, acks='all', linger_ms=50,
                                 compression_type=None if codec == 'none' else codec)
        futures = [producer.send(topic, key=b'key', value=('%s_%s-%d' % (label, codec, i)).encode(), partition=0) for i in range(count)]
        producer.flush(timeout=30)
        for future in futures:
            future.get(timeout=10)
        producer.close(timeout=10)
else:
    consumer = KafkaConsumer(bootstrap_servers=servers, api_version=version, group_id=None, enable_auto_commit=False)
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    seen, deadline = 0, time.time() + 30
    while seen < count:
        assert time.time() < deadline, 'only %d of %d came' % (seen, count)
        for messages in consumer.poll(timeout_ms=500).values():
            for message in messages:
                print(message.value.decode())
                seen += 1
    consumer.close()
