// Package lifecycle starts goroutines that have an owner, a name and an end.
//
// A Group is owned by the part that starts its goroutines. Close cancels the
// group's context, waits for every goroutine and returns the first error. The
// bare go statement is banned outside this package and tests (see
// pkg/conventions_test.go); what must be ordered between groups is ordered by
// the order in which broker closes them.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
)

// Group runs named goroutines until its context ends. Safe for concurrent
// use.
type Group struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// mu guards the fields below and is held for no call out.
	mu     sync.Mutex
	closed bool
	err    error
}

// NewGroup returns a group whose context is a child of ctx.
func NewGroup(ctx context.Context) *Group {
	ctx, cancel := context.WithCancel(ctx)
	return &Group{ctx: ctx, cancel: cancel}
}

// Context is done when Close begins or the parent is done.
func (g *Group) Context() context.Context { return g.ctx }

// Go runs f in a goroutine. f must return soon after its context is done;
// context.Canceled counts as a clean return, any other error is kept for
// Close. It reports false, and runs nothing, once Close has begun.
func (g *Group) Go(name string, f func(ctx context.Context) error) bool {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return false
	}
	g.wg.Add(1)
	g.mu.Unlock()
	go func() {
		defer g.wg.Done()
		if err := run(g.ctx, name, f); err != nil && !errors.Is(err, context.Canceled) {
			g.mu.Lock()
			if g.err == nil {
				g.err = fmt.Errorf("%s: %w", name, err)
			}
			g.mu.Unlock()
		}
	}()
	return true
}

// run lets a panic end the process, as a broken invariant must, but with the
// goroutine's name in front of it.
func run(ctx context.Context, name string, f func(ctx context.Context) error) error {
	defer func() {
		if p := recover(); p != nil {
			panic(fmt.Sprintf("%s: %v\n%s", name, p, debug.Stack()))
		}
	}()
	return f(ctx)
}

// Cancel ends the context without waiting, for a group that must be told to
// stop before its owner can wait for it.
func (g *Group) Cancel() { g.cancel() }

// Close ends the context, waits for all goroutines and returns the first
// error that one of them returned. It may be called more than once.
func (g *Group) Close() error {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.cancel()
	g.wg.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}
