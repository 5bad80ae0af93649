"""kazoo against the ZooKeeper in argv[1]: nodes, watches, ephemerals, recipes."""
import sys
import threading

from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError

HOSTS = sys.argv[1]


def started():
    client = KazooClient(hosts=HOSTS, timeout=10)
    client.start(timeout=10)
    return client


a, b = started(), started()
assert a.create('/kazoo', b'x') == '/kazoo'
try:
    a.create('/kazoo', b'y')
    assert False
except NodeExistsError:
    pass
fired = threading.Event()
data, stat = b.get('/kazoo', watch=lambda e: fired.set())
assert (data, stat.version) == (b'x', 0)
assert a.set('/kazoo', b'z', version=0).version == 1
assert fired.wait(10)
try:
    a.set('/kazoo', b'q', version=0)
    assert False
except BadVersionError:
    pass
names = [a.create('/kazoo/n-', sequence=True) for _ in range(3)]
assert names == ['/kazoo/n-%010d' % i for i in range(3)], names
assert sorted(a.get_children('/kazoo')) == ['n-%010d' % i for i in range(3)]
gone = threading.Event()
b.create('/kazoo/mine', b'', ephemeral=True)
a.exists('/kazoo/mine', watch=lambda e: gone.set())
b.stop()
assert gone.wait(10)
transaction = a.transaction()
transaction.check('/kazoo', version=1)
transaction.create('/kazoo/t', b'1')
transaction.delete('/kazoo/n-0000000000')
assert transaction.commit()[1] == '/kazoo/t'
lock = a.Lock('/kazoo/lock', 'me')
with lock:
    assert lock.contenders() == ['me']
counter = a.Counter('/kazoo/counter')
counter += 2
counter -= 1
assert counter.value == 1
try:
    a.get('/nope')
    assert False
except NoNodeError:
    pass
a.delete('/kazoo', recursive=True)
a.stop()
print('OK')
