package lifecycle

import (
	"context"
	"errors"
	"sync"
)

// Parallel runs f(0) to f(n-1) at a time, each on a goroutine of its own, and
// returns their errors by number.
func Parallel(name string, n int, f func(i int) error) []error {
	errs := make([]error, n)
	group := NewGroup(context.Background())
	var wait sync.WaitGroup
	wait.Add(n)
	for i := range n {
		group.Go(name, func(context.Context) error {
			defer wait.Done()
			errs[i] = f(i)
			return nil
		})
	}
	wait.Wait()
	group.Close()
	return errs
}

// Shared runs f on the indexes below n with a number of workers, each taking
// the next one; a worker stops at its first error.
func Shared(name string, workers, n int, f func(i int) error) error {
	var mu sync.Mutex
	next := 0
	take := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next - 1, next <= n
	}
	return errors.Join(Parallel(name, min(workers, n), func(int) error {
		for i, ok := take(); ok; i, ok = take() {
			if err := f(i); err != nil {
				return err
			}
		}
		return nil
	})...)
}
