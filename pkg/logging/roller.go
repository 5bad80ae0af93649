package logging

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DefaultKeep is how many rolled files of a daily-rolling file are kept
// unless the configuration says MaxBackupIndex.
const DefaultKeep = 10

// roller is a log file that is renamed away: at the end of each period of
// its date pattern, when it has reached a size, or never.
//
// By date: the first line of a new period renames the file to its name and
// the period that ended ("server.log.2020-04-18-10"); a file of an earlier
// period that is found at the start is treated the same. By size: file.1 is
// the newest of the old ones. The oldest beyond keep are removed.
type roller struct {
	path    string
	suffix  string // layout of Go for the period, empty when not by date
	maxSize int64  // 0 when not by size
	keep    int
	current *os.File
	size    int64
	period  string // of what is in the file now
	checked int64  // the second for which the period was looked at last
}

// openRoller opens the file for appending and creates it, and its directory,
// when missing.
func openRoller(r roller, truncate bool) (*roller, error) {
	if err := os.MkdirAll(filepath.Dir(r.path), 0o755); err != nil {
		return nil, err
	}
	mode := os.O_APPEND
	if truncate {
		mode = os.O_TRUNC
	}
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY|mode, 0o644)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	r.current, r.size = f, info.Size()
	if r.suffix != "" {
		r.period = info.ModTime().Format(r.suffix)
	}
	return &r, nil
}

// file returns the file for a line of the given time and length, rolled
// before when it is due. A roll that fails is told and the file kept.
func (r *roller) file(at time.Time, length int) io.Writer {
	if r.current == nil {
		return io.Discard
	}
	var err error
	switch {
	case r.suffix != "" && at.Unix() != r.checked:
		r.checked = at.Unix()
		if period := at.Format(r.suffix); period != r.period {
			err = r.rollTo(r.path+r.period, r.removeDated)
			r.period = period
		}
	case r.maxSize > 0 && r.size > 0 && r.size+int64(length) > r.maxSize:
		r.shiftNumbered()
		err = r.rollTo(r.path+".1", nil)
	}
	if err != nil {
		complain(fmt.Sprintf("rolling %s failed: %v", r.path, err))
	}
	r.size += int64(length)
	return r.current
}

// rollTo renames the file away and begins a new one.
func (r *roller) rollTo(old string, tidy func()) error {
	if r.maxSize > 0 && r.keep <= 0 {
		if err := r.current.Truncate(0); err != nil {
			return err
		}
		r.size = 0
		return nil
	}
	// Another process may write the same files, as ZooKeeper and a broker of
	// one machine do: what it has renamed away must not be lost.
	_, err := os.Lstat(old)
	if takenByAnother := err == nil; !takenByAnother {
		if err := os.Rename(r.path, old); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err // lines go on into the renamed file
	}
	r.current.Close()
	r.current, r.size = f, 0
	if tidy != nil {
		tidy()
	}
	return nil
}

// removeDated removes the oldest rolled files beyond keep. Their names sort
// by time, as far as the date pattern does.
func (r *roller) removeDated() {
	if r.keep <= 0 {
		return
	}
	found, err := filepath.Glob(escapeGlob(r.path) + "*")
	if err != nil {
		return
	}
	rolled := slices.DeleteFunc(found, func(path string) bool {
		_, err := time.Parse(r.suffix, strings.TrimPrefix(path, r.path))
		return err != nil
	})
	slices.Sort(rolled)
	for len(rolled) > r.keep {
		os.Remove(rolled[0])
		rolled = rolled[1:]
	}
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// shiftNumbered renames file.1 to file.2 and so on and drops the last.
func (r *roller) shiftNumbered() {
	name := func(i int) string { return r.path + "." + strconv.Itoa(i) }
	os.Remove(name(r.keep))
	for i := r.keep - 1; i >= 1; i-- {
		os.Rename(name(i), name(i+1))
	}
}

func (r *roller) close() error {
	if r.current == nil {
		return nil
	}
	err := r.current.Close()
	r.current = nil
	return err
}
