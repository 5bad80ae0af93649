package pkg_test

import (
	"go/ast"
	"go/token"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/config"
)

// getters are the methods of config.Broker and config.Topic that take the name
// of a setting.
var getters = map[string]bool{"Int": true, "Short": true, "Long": true, "Double": true, "Bool": true,
	"String": true, "StringOrNil": true, "List": true, "Password": true, "IsSet": true}

// checksOnly are files that look at settings to refuse a start, which gives a
// setting no effect of its own.
var checksOnly = map[string]bool{"config/crosschecks.go": true}

// settingsApart are those of which the calls of getters do not tell whether
// they have an effect.
var settingsApart = map[string]string{
	"listener.security.protocol.map":           "it is read by a variable's name",
	"process.roles":                            "it ends the start",
	"transaction.state.log.min.isr":            "the topic can be created by its name, and nobody writes to it",
	"transaction.state.log.replication.factor": "as transaction.state.log.min.isr",
	"transaction.state.log.num.partitions":     "as transaction.state.log.min.isr",
	"transaction.state.log.segment.bytes":      "as transaction.state.log.min.isr",
	"password.encoder.secret":                  "it decides which refusal is given",
}

// settingsRead collects the literals that getters are called with.
func settingsRead(t *testing.T) map[string]bool {
	t.Helper()
	read := map[string]bool{}
	for name, files := range packages(t) {
		for _, file := range files {
			if checksOnly[name+"/"+filepath.Base(fileSet.Position(file.Pos()).Filename)] {
				continue
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if setting := settingOf(t, n); setting != "" {
					read[setting] = true
				}
				return true
			})
		}
	}
	return read
}

// settingOf is the name that a call of a getter asks for, "" for other nodes.
func settingOf(t *testing.T, n ast.Node) string {
	t.Helper()
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) != 1 {
		return ""
	}
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !getters[method.Sel.Name] {
		return ""
	}
	literal, ok := call.Args[0].(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return ""
	}
	name, err := strconv.Unquote(literal.Value)
	require.NoError(t, err)
	return name
}

// A setting that has no effect warns when it is given; one that has must not.
func TestSettingsAreInertWhenNobodyReadsThem(t *testing.T) {
	read := settingsRead(t)
	for _, k := range config.TopicKeys {
		if read[k.Name] && k.Server != "" {
			read[k.Server] = true
		}
	}
	for _, table := range [][]config.Key{config.BrokerKeys, config.TopicKeys} {
		for _, k := range table {
			if settingsApart[k.Name] != "" {
				require.Equal(t, k.Inert == "", !read[k.Name], "%s needs no line in settingsApart", k.Name)
				continue
			}
			if read[k.Name] {
				require.Empty(t, k.Inert, "%s is read and is marked as without effect", k.Name)
			} else {
				require.NotEmpty(t, k.Inert, "nobody reads %s, and it is not marked as without effect", k.Name)
			}
		}
	}
}
