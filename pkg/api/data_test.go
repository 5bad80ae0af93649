package api

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMentions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m mentions
		require.True(t, m.due("a"))
		require.False(t, m.due("a"))
		require.True(t, m.due("b"))
		time.Sleep(mentionAgain)
		require.True(t, m.due("a"))
		for i := range mentionsAtOnce {
			m.due(fmt.Sprint(i))
		}
		require.False(t, m.due("c"), "too many")
		time.Sleep(mentionAgain)
		require.True(t, m.due("c"))
		require.Len(t, m.last, 1, "the old ones are gone")
	})
}
