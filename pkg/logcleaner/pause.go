package logcleaner

import "gregor/pkg/model"

// Abort stops the work on a partition, and returns when nobody is at it any
// more. It may be taken up again at once.
func (c *Cleaner) Abort(tp model.TopicPartition) {
	c.Pause(tp)
	c.Resume(tp)
}

// Pause stops the work on a partition and keeps it from being taken up
// until Resume was called as often as Pause.
func (c *Cleaner) Pause(tp model.TopicPartition) {
	c.mu.Lock()
	c.paused[tp]++
	j := c.busy[tp]
	c.mu.Unlock()
	if j != nil {
		j.cancel()
		<-j.done
	}
}

// PauseIdle is Pause for a partition that nobody is at; false when somebody
// is.
func (c *Cleaner) PauseIdle(tp model.TopicPartition) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy[tp] != nil || c.paused[tp] > 0 {
		return false
	}
	c.paused[tp]++
	return true
}

// Resume undoes a Pause.
func (c *Cleaner) Resume(tp model.TopicPartition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch n := c.paused[tp]; {
	case n > 1:
		c.paused[tp] = n - 1
	case n == 1:
		delete(c.paused, tp)
	}
}
