package lifecycle

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCloseWaitsAndGivesTheFirstError(t *testing.T) {
	g := NewGroup(context.Background())
	boom := errors.New("boom")
	ended := false
	require.True(t, g.Go("waits", func(ctx context.Context) error {
		<-ctx.Done()
		ended = true
		return ctx.Err()
	}))
	failed := make(chan struct{})
	require.True(t, g.Go("fails", func(context.Context) error {
		defer close(failed)
		return boom
	}))
	<-failed
	err := g.Close()
	require.True(t, ended)
	require.ErrorIs(t, err, boom)
	require.EqualError(t, err, "fails: boom")
	require.Equal(t, err, g.Close(), "a second Close gives the same")
	require.False(t, g.Go("late", func(context.Context) error { t.Error("ran"); return nil }))
}

func TestAGroupEndsWithItsParent(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	g := NewGroup(ctx)
	g.Go("waits", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	cancel()
	<-g.Context().Done()
	require.NoError(t, g.Close(), "being cancelled is a clean end")
}
