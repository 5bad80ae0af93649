// Package zkstore is Kafka's data in ZooKeeper, typed: brokers, controller,
// topics, partition states, configurations, notifications, producer ids.
//
// A Store is one client of an ensemble. Its operations take and return
// model types and speak Kafka's JSON exactly; each family of znodes has a
// file of its own. Every operation retries for as long as its session lives
// when a connection is lost, and finds out afterwards whether a write that
// seems to have failed was its own (KAFKA-6082, KAFKA-7165). When the session
// is lost it fails with ErrSessionExpired and is never executed in the next
// session: a Store uses one zk.Conn for one session and throws it away.
//
// Sessions. The store opens a new session whenever one is lost, for ever.
// OnSession handlers stand around that moment: BeforeNewSession runs, and is
// awaited, when the old session is lost and before the next is begun (a
// controller resigns there; operations fail at once meanwhile);
// AfterNewSession runs when the new one stands (a broker registers again). A
// session is lost when a server says so or when no server was heard for the
// negotiated timeout, whichever is first.
//
// Watches. WatchNode and WatchChildren are levels, not edges: the function
// runs once when the watch is set and again after anything that may have
// changed the node: an event, a reconnection, a new session. Callers read
// again. A watch outlives sessions and the node's absence, until cancelled.
//
// Fences. A controller passes the Fence that RegisterController gave it; the
// write is then one multi with a check of /controller_epoch, and fails with
// ErrControllerMoved when another controller took over. NoFence writes
// without the check, as tools and brokers do.
//
// Errors. A code of ZooKeeper is an *Error; branch with errors.Is on
// ErrNoNode, ErrNodeExists, ErrBadVersion. Content that cannot be understood
// is ErrBadData with the path in its text; operations that read many nodes
// return the good ones together with that error.
//
// Raw is a bare session for the ZooKeeper shell: paths and bytes, no retry.
//
// Callers: broker, controller, admin, group and txn coordinators, cli.
// Goroutines: the session manager, the watch runner, one expiry timer for
// each session, short-lived ones for requests in flight; all end with Close.
// Lock order: Store.mu, then session.mu; watches.mu alone. None is held
// during I/O or a callback.
//
// Not here: what to do about a change (controller, broker), validation and
// placement of topics (admin), the server (zookeeper/server).
package zkstore
