package logcleaner

import (
	"container/heap"

	"gregor/pkg/commitlog"
	"gregor/pkg/record"
)

// transactions follows the transactions of a log while its batches are read
// in order: which data was aborted, and which markers no batch needs any more.
type transactions struct {
	committed map[int64]bool // producers with data of a transaction that is not known as aborted
	aborted   map[int64]*abortedTxn
	ahead     txnHeap // aborted transactions whose first offset was not reached yet

	// keep is told of an aborted transaction whose marker stays.
	keep func(commitlog.AbortedTxn) error
}

// abortedTxn is an aborted transaction that the reading is in.
type abortedTxn struct {
	commitlog.AbortedTxn
	seen bool // a batch of it is still there
}

func newTransactions() *transactions {
	return &transactions{committed: map[int64]bool{}, aborted: map[int64]*abortedTxn{}, keep: func(commitlog.AbortedTxn) error { return nil }}
}

// add announces aborted transactions of what will be read next.
func (t *transactions) add(txns []commitlog.AbortedTxn) {
	for _, txn := range txns {
		heap.Push(&t.ahead, txn)
	}
}

// reach begins the aborted transactions with data up to an offset. A
// transaction that spans segments is announced for each.
func (t *transactions) reach(offset int64) {
	for len(t.ahead) > 0 && t.ahead[0].FirstOffset <= offset {
		txn := heap.Pop(&t.ahead).(commitlog.AbortedTxn)
		if t.aborted[txn.ProducerID] == nil {
			t.aborted[txn.ProducerID] = &abortedTxn{AbortedTxn: txn}
		}
	}
}

// data follows a data batch; true when it was aborted and can go.
func (t *transactions) data(b record.Batch) bool {
	t.reach(b.LastOffset())
	if !b.Transactional() {
		return false
	}
	if txn := t.aborted[b.ProducerID()]; txn != nil {
		txn.seen = true
		return true
	}
	t.committed[b.ProducerID()] = true
	return false
}

// marker follows a control batch; true when no batch of its transaction is
// left and it can go as soon as it is old enough.
func (t *transactions) marker(b record.Batch) (bool, error) {
	t.reach(b.LastOffset())
	if b.Count() == 0 {
		return true, nil // it was emptied before
	}
	marker, found, err := b.EndTxnMarker()
	if err != nil || !found {
		return false, err // of another kind
	}
	id := b.ProducerID()
	if marker.Type == record.ControlCommit {
		needed := t.committed[id]
		delete(t.committed, id)
		return !needed, nil
	}
	txn := t.aborted[id]
	delete(t.aborted, id)
	if txn == nil || !txn.seen {
		return true, nil
	}
	return false, t.keep(txn.AbortedTxn)
}

// txnHeap has the transaction with the lowest first offset on top.
type txnHeap []commitlog.AbortedTxn

func (h txnHeap) Len() int           { return len(h) }
func (h txnHeap) Less(i, j int) bool { return h[i].FirstOffset < h[j].FirstOffset }
func (h txnHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *txnHeap) Push(x any)        { *h = append(*h, x.(commitlog.AbortedTxn)) }
func (h *txnHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
