// Package pkg_test holds the rules of the house as tests: what may import
// what, that every package says what it is, and calls that are banned.
package pkg_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "gregor/pkg/"

// floors is the house: a package imports only packages of floors below its
// own, and what sameFloor names.
var floors = [][]string{
	0: {"model", "kerr", "wire", "compress", "vfs", "lifecycle", "logging"},
	1: {"record", "protocol", "config"},
	2: {"commitlog", "logcleaner", "logmanager", "purgatory", "metadata", "zkstore", "client", "quota",
		"zookeeper/jute", "zookeeper/tree", "zookeeper/txnlog", "zookeeper/session", "zookeeper/server"},
	3: {"replica", "coordinator", "group", "txn", "controller", "admin"},
	4: {"network", "api"},
	5: {"broker"},
	6: {"cli", "cli/jopt", "cli/argparse"},
}

// sameFloor lists the imports within a floor, each with its reason.
var sameFloor = map[string]map[string]string{
	"wire":             {"model": "a peer has a security protocol"},
	"logcleaner":       {"commitlog": "it rewrites segments of logs"},
	"logmanager":       {"commitlog": "it keeps all logs of a broker", "logcleaner": "it keeps the cleaner's checkpoints"},
	"group":            {"coordinator": "groups are state machines over it"},
	"cli":              {"cli/jopt": "the option parser of the tools", "cli/argparse": "the option parser of the younger tools"},
	"zookeeper/tree":   {"zookeeper/jute": "nodes hold stats and ACLs as they are on the wire"},
	"zookeeper/txnlog": {"zookeeper/jute": "files are jute records", "zookeeper/tree": "a snapshot is a tree"},
	"zookeeper/server": {"zookeeper/jute": "the wire protocol", "zookeeper/tree": "what it serves",
		"zookeeper/txnlog": "what it writes before it answers", "zookeeper/session": "who is connected"},
}

// onlyUser says which single package may import a module.
var onlyUser = map[string]string{
	"github.com/go-zookeeper/zk": "zkstore",
}

// imports of the packages below pkg, without tests.
func packages(t *testing.T) map[string][]*ast.File {
	t.Helper()
	found := map[string][]*ast.File{}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(fileSet, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(filepath.Dir(path))
		found[name] = append(found[name], file)
		return nil
	})
	require.NoError(t, err)
	return found
}

var fileSet = token.NewFileSet()

func floorOf(name string) int {
	return slices.IndexFunc(floors, func(floor []string) bool { return slices.Contains(floor, name) })
}

func importsOf(files []*ast.File) []string {
	set := map[string]bool{}
	for _, file := range files {
		for _, spec := range file.Imports {
			set[strings.Trim(spec.Path.Value, `"`)] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func TestLayering(t *testing.T) {
	for name, files := range packages(t) {
		if name == "testkit" {
			continue
		}
		own := floorOf(name)
		require.GreaterOrEqual(t, own, 0, "package %s stands on no floor of the table", name)
		for _, imported := range importsOf(files) {
			if user, ok := onlyUser[imported]; ok {
				require.Equal(t, user, name, "%s is for %s alone", imported, user)
			}
			other, ours := strings.CutPrefix(imported, module)
			if !ours || sameFloor[name][other] != "" {
				continue
			}
			require.NotEqual(t, "testkit", other, "%s: testkit is for tests", name)
			require.Less(t, floorOf(other), own, "%s (floor %d) must not import %s", name, own, other)
		}
	}
}

func TestTheLayeringTableIsOfPackagesThatExist(t *testing.T) {
	found := packages(t)
	for _, floor := range floors {
		for _, name := range floor {
			require.Contains(t, found, name)
		}
	}
	for name, others := range sameFloor {
		require.Contains(t, found, name)
		for other := range others {
			require.Contains(t, importsOf(found[name]), module+other, "%s does not import %s any more", name, other)
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for name, files := range packages(t) {
		documented := slices.ContainsFunc(files, func(f *ast.File) bool {
			return f.Doc != nil && strings.HasPrefix(f.Doc.Text(), "Package ")
		})
		require.True(t, documented, "package %s has no doc comment", name)
	}
}

func TestBannedCalls(t *testing.T) {
	for name, files := range packages(t) {
		for _, file := range files {
			ast.Inspect(file, func(n ast.Node) bool {
				at := func() string { return fileSet.Position(n.Pos()).String() }
				switch n := n.(type) {
				case *ast.GoStmt:
					require.Equal(t, "lifecycle", name, "%s: start goroutines through a lifecycle.Group", at())
				case *ast.CallExpr:
					switch called(n) {
					case "time.Sleep":
						require.Fail(t, "banned call", "%s: wait for a condition or a context, not for time", at())
					case "fmt.Print", "fmt.Println", "fmt.Printf":
						require.Fail(t, "banned call", "%s: print through the command's environment", at())
					case "os.Exit":
						require.Fail(t, "banned call", "%s: return a status", at())
					}
				}
				return true
			})
		}
	}
}

// called is "package.Function" of a call to another package, or "".
func called(call *ast.CallExpr) string {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	receiver, ok := selector.X.(*ast.Ident)
	if !ok {
		return ""
	}
	return receiver.Name + "." + selector.Sel.Name
}
