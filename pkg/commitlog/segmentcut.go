package commitlog

import (
	"io"
	"time"
)

// truncateTo cuts at the first batch that holds offset or a later one. It
// returns the number of bytes cut off.
func (s *segment) truncateTo(offset int64) (int64, error) {
	file, err := s.acquire()
	if err != nil {
		return 0, err
	}
	h, err := s.locate(file, offset, 0, s.size.Load())
	file.drop()
	if err == io.EOF {
		h.position, err = s.size.Load(), nil
	}
	if err != nil {
		return 0, err
	}
	if err := s.offsets.truncateTo(offset); err != nil {
		return 0, err
	}
	if err := s.times.truncateTo(offset); err != nil {
		return 0, err
	}
	if err := s.txns.truncateTo(offset); err != nil {
		return 0, err
	}
	if err := s.reallocate(); err != nil {
		return 0, err
	}
	if h.position < s.size.Load() {
		if err := s.truncateFile(h.position); err != nil {
			return 0, err
		}
	}
	s.verified.cut(h.position)
	cut := s.size.Swap(h.position) - h.position
	if h.position == 0 {
		s.created, s.firstLoaded = time.Now(), false
	}
	s.bytesSinceIndex = 0
	return cut, s.findMax()
}

// findMax looks for the largest timestamp again, among what the time index
// has and the batches behind its last entry.
func (s *segment) findMax() error {
	timestamp, offset, err := s.times.lastEntry()
	if err != nil {
		return err
	}
	file, err := s.acquire()
	if err != nil {
		return err
	}
	defer file.drop()
	h, err := s.locate(file, offset, 0, s.size.Load())
	r := readHeaders(file, s.size.Load())
	defer r.done()
	for err == nil {
		if h.maxTimestamp > timestamp {
			timestamp, offset = h.maxTimestamp, h.lastOffset
		}
		h, err = r.header(h.position + int64(h.size))
	}
	if err != io.EOF {
		return s.damaged(err, offset, h.position)
	}
	s.setMax(timestamp, offset)
	return nil
}

// reallocate gives the indexes of a segment that is active again their size.
func (s *segment) reallocate() error {
	s.active.Store(true)
	if err := s.offsets.resize(s.offsets.bytesMax); err != nil {
		return err
	}
	return s.times.resize(s.times.bytesMax)
}
