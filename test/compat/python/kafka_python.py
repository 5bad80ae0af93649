"""What the courses do with kafka-python, against the broker in argv[1] (a
comma list). Every step checks what it got; the last line says OK."""
import sys
import threading
import time

import kafka
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

SERVERS = sys.argv[1].split(',')
RUN = str(int(time.time() * 1000))


def topic(name):
    return '%s-%s' % (name, RUN)


def make_topic(name, partitions):
    from kafka.admin import KafkaAdminClient, NewTopic
    admin = KafkaAdminClient(bootstrap_servers=SERVERS)
    admin.create_topics([NewTopic(name, partitions, 1)])
    admin.close()


def wait_for(what, condition, seconds=20):
    deadline = time.time() + seconds
    while not condition():
        assert time.time() < deadline, 'waited in vain: ' + what
        time.sleep(0.05)


def consumer(*topics, **settings):
    settings.setdefault('auto_offset_reset', 'earliest')
    settings.setdefault('consumer_timeout_ms', 5000)
    return KafkaConsumer(*topics, bootstrap_servers=SERVERS, **settings)


def producer_with_futures_and_callbacks():
    name = topic('my-topic')
    make_topic(name, 2)
    producer = KafkaProducer(bootstrap_servers=SERVERS, retries=5)
    meta = producer.send(name, b'raw_bytes', partition=0).get(timeout=10)
    assert (meta.topic, meta.partition, meta.offset) == (name, 0, 0), meta
    same = {producer.send(name, key=b'foo', value=b'bar').get(timeout=10).partition for _ in range(5)}
    assert len(same) == 1, same
    good, bad = [], []
    for _ in range(100):
        producer.send(name, b'msg').add_callback(good.append).add_errback(bad.append)
    producer.flush()
    assert (len(good), bad) == (100, []), (len(good), bad)
    assert producer.partitions_for(name) == {0, 1}
    assert producer.metrics()
    producer.close()

    seen = []
    c = consumer(name)
    for m in c:
        seen.append('%s:%d:%d: key=%s value=%s' % (m.topic, m.partition, m.offset, m.key, m.value))
        if len(seen) == 106:
            break
    assert "%s:0:0: key=None value=b'raw_bytes'" % name in seen, seen[:3]
    assert len(seen) == 106, len(seen)
    assert c.partitions_for_topic(name) == {0, 1}
    assert name in c.topics()
    assert c.metrics()
    ends = c.end_offsets([TopicPartition(name, 0), TopicPartition(name, 1)])
    starts = c.beginning_offsets([TopicPartition(name, 0), TopicPartition(name, 1)])
    assert sum(ends.values()) == 106 and set(starts.values()) == {0}, (starts, ends)
    c.close()


def seek_assign_pause():
    name = topic('seek')
    producer = KafkaProducer(bootstrap_servers=SERVERS)
    for i in range(10):
        producer.send(name, b'%d' % i)
    producer.flush()
    tp = TopicPartition(name, 0)
    c = consumer()
    c.assign([tp])
    c.seek(tp, 5)
    first = next(c)
    assert (first.offset, first.value) == (5, b'5'), first
    assert c.position(tp) == 6
    c.seek_to_beginning(tp)
    assert next(c).offset == 0
    c.seek(tp, 2)
    c.pause(tp)
    assert c.poll(timeout_ms=500) == {}
    c.resume(tp)
    polled = []
    wait_for('records after resume', lambda: polled.extend(r for rs in c.poll(timeout_ms=200).values() for r in rs) or polled)
    assert polled[0].offset == 2, polled[0]
    c.close()


def groups():
    name, group = topic('grouped'), topic('group')
    make_topic(name, 2)
    owned = {}
    stop = {}

    def member(number):
        c = consumer(name, group_id=group, session_timeout_ms=6000, heartbeat_interval_ms=500)
        while number not in stop:
            c.poll(timeout_ms=100)
            owned[number] = sorted(tp.partition for tp in c.assignment())
        c.close()
        owned[number] = []

    threads = [threading.Thread(target=member, args=(n,)) for n in range(3)]
    threads[0].start()
    wait_for('one member has both', lambda: owned.get(0) == [0, 1])
    threads[1].start()
    wait_for('each has one', lambda: sorted(owned.get(0, []) + owned.get(1, [])) == [0, 1] and len(owned.get(0, [])) == 1)
    threads[2].start()
    wait_for('a third has none', lambda: 2 in owned and sorted(owned[0] + owned[1] + owned[2]) == [0, 1])
    stop[0] = stop[2] = True
    wait_for('the last one has both', lambda: owned.get(1) == [0, 1])
    stop[1] = True
    for thread in threads:
        thread.join()


def committed_offsets_are_kept():
    name, group = topic('committed'), topic('committer')
    producer = KafkaProducer(bootstrap_servers=SERVERS)
    for i in range(20):
        producer.send(name, b'%d' % i)
    producer.flush()
    c = consumer(name, group_id=group, enable_auto_commit=False)
    values = [next(c).value for _ in range(7)]
    assert values == [b'%d' % i for i in range(7)], values
    tp = TopicPartition(name, 0)
    from kafka.structs import OffsetAndMetadata
    try:
        offset = OffsetAndMetadata(7, 'note')
    except TypeError:
        offset = OffsetAndMetadata(7, 'note', -1)
    c.commit({tp: offset})
    assert c.committed(tp) == 7
    c.close()
    c = consumer(name, group_id=group)
    assert next(c).offset == 7
    c.close()


def pattern():
    prefix = 'awesome%s' % RUN
    producer = KafkaProducer(bootstrap_servers=SERVERS)
    producer.send(prefix + '-one', b'first').get(timeout=10)
    c = consumer(group_id=topic('pattern'), metadata_max_age_ms=500, consumer_timeout_ms=20000)
    c.subscribe(pattern='^%s.*' % prefix)
    assert next(c).value == b'first'
    producer.send(prefix + '-two', b'second').get(timeout=10)
    assert next(c).value == b'second'
    c.close()


def consumer_timeout():
    c = consumer(topic('nothing'), consumer_timeout_ms=1000)
    began = time.time()
    assert list(c) == []
    assert 0.9 < time.time() - began < 10
    c.close()


def raw_create_topics():
    """CreateTopics v0 sent by hand to the controller, as an older course does."""
    if kafka.__version__ > '2.1':
        return
    from kafka.client_async import KafkaClient
    from kafka.protocol.admin import CreateTopicsRequest_v0
    client = KafkaClient(bootstrap_servers=SERVERS)
    wait_for('the cluster is known', lambda: client.poll(timeout_ms=100) is not None and client.cluster.controller is not None)
    controller = client.cluster.controller.nodeId
    wait_for('a connection', lambda: client.ready(controller) or client.poll(timeout_ms=100) and False)
    name = topic('by-hand')
    request = CreateTopicsRequest_v0(create_topic_requests=[(name, 1, 1, [], [])], timeout=3000)
    for expected in (0, 36):
        future = client.send(controller, request)
        client.poll(timeout_ms=5000, future=future)
        assert future.value.topic_errors == [(name, expected)], future.value
    client.close()


for step in (producer_with_futures_and_callbacks, seek_assign_pause, groups, committed_offsets_are_kept, pattern, consumer_timeout, raw_create_topics):
    began = time.time()
    step()
    print('%-40s %.1f s' % (step.__name__, time.time() - began))
print('OK', kafka.__version__)
