package kerr

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTableHasEveryCodeOnce(t *testing.T) {
	for code := int16(-1); code <= 120; code++ {
		if code == 0 {
			require.Nil(t, ForCode(0))
			continue
		}
		e := ForCode(code)
		require.Equal(t, code, e.Code)
		require.NotEmpty(t, e.Name)
		require.NotEmpty(t, e.Class, e.Name)
		require.NotEmpty(t, e.Text, e.Name)
	}
	require.Same(t, UnknownServerError, ForCode(9999))
}

func TestWithKeepsTheKind(t *testing.T) {
	err := TopicAlreadyExists.With("Topic '%s' already exists.", "test")
	wrapped := fmt.Errorf("create: %w", err)
	require.True(t, errors.Is(wrapped, TopicAlreadyExists))
	require.Equal(t, int16(36), Code(wrapped))
	require.Equal(t, "Topic 'test' already exists.", *Message(err))
	require.Equal(t, "org.apache.kafka.common.errors.TopicExistsException", Of(wrapped).JavaClass())
}

func TestOfForeignErrors(t *testing.T) {
	require.Nil(t, Of(nil))
	require.Nil(t, Message(nil))
	require.Equal(t, int16(-1), Code(errors.New("boom")))
	require.Equal(t, NotLeaderOrFollower.Text, *Message(NotLeaderOrFollower))
}
