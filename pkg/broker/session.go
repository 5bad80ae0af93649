package broker

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// sessionFile keeps the id of this broker's ZooKeeper session beside its
// data, so that after a crash the next process knows which ephemeral nodes
// are its own leftovers and need not wait for them to expire. Kafka ignores
// plain files in a log directory.
const sessionFile = ".gregor.session"

// sessionKeeper remembers the session. A process may write the file only when
// it holds the directory's lock: until then it may be a second broker that
// was started on the same directory by mistake.
type sessionKeeper struct {
	path string

	mu      sync.Mutex
	current int64
	locked  bool
}

func newSessionKeeper(dir string) *sessionKeeper {
	return &sessionKeeper{path: filepath.Join(dir, sessionFile)}
}

// previous is the session of the former process, 0 when it is not known.
func (k *sessionKeeper) previous() int64 {
	text, err := os.ReadFile(k.path)
	if err != nil {
		return 0
	}
	id, err := strconv.ParseUint(strings.TrimSpace(strings.TrimPrefix(string(text), "0x")), 16, 64)
	if err != nil {
		return 0
	}
	return int64(id)
}

// set is told each new session.
func (k *sessionKeeper) set(id int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.current = id
	if k.locked {
		k.write()
	}
}

// lockHeld says that the directory is this process's now.
func (k *sessionKeeper) lockHeld() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.locked = true
	k.write()
}

// write is best effort: without the file a restart waits for the old session
// to expire, as Kafka does.
func (k *sessionKeeper) write() {
	if k.current == 0 {
		return
	}
	temporary := k.path + ".tmp"
	if os.WriteFile(temporary, fmt.Appendf(nil, "0x%x\n", uint64(k.current)), 0o644) == nil {
		_ = os.Rename(temporary, k.path)
	}
}

// forget removes the file after a session was closed in order. A process
// that never held the lock leaves the file to the one that does.
func (k *sessionKeeper) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.locked {
		_ = os.Remove(k.path)
	}
	k.locked, k.current = false, 0
}
