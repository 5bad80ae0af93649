package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/peterh/liner"
	"golang.org/x/term"

	"gregor/pkg/zkstore"
)

// zookeeper-shell: the command line client of ZooKeeper 3.5.9, which Kafka
// ships as bin/zookeeper-shell.sh. With a command it runs that and ends;
// without, it reads commands from stdin, with an editor when stdin is a
// terminal. Commands for nodes are in zookeeper_shell_nodes.go, those for
// quotas in zookeeper_shell_quota.go.
var _ = register("zookeeper-shell", zookeeperShell)

// shellExit ends the shell with a status, from within a command.
type shellExit int

func (e shellExit) Error() string { return "exit " + strconv.Itoa(int(e)) }

// shellError is what a failed command says on stderr and its exit status.
type shellError struct {
	text   string
	status int
}

func (e *shellError) Error() string { return e.text }

func shellErrorf(format string, args ...any) error {
	return &shellError{fmt.Sprintf(format, args...), 1}
}

// shell is the state between commands.
type shell struct {
	ctx     context.Context
	env     *Env
	connect string
	timeout time.Duration
	raw     *zkstore.Raw // nil after close
	status  int          // of the last command
	history []string

	greeted chan struct{} // closed when the first event of raw was printed

	// mu guards the fields below and the writes to stdout: watch events are
	// printed by the client's goroutine.
	mu           sync.Mutex
	printWatches bool
	ended        bool // nothing is printed any more
}

func zookeeperShell(ctx context.Context, env *Env, args []string) int {
	if len(args) == 0 {
		fmt.Fprintf(env.Stdout, "USAGE: %s zookeeper_host:port[/path] [-zk-tls-config-file file] [args...]\n", env.Program)
		return 1
	}
	sh := &shell{ctx: ctx, env: env, timeout: 30 * time.Second, printWatches: true, connect: args[0]}
	command, err := sh.parseOptions(args[1:])
	if err != nil {
		fmt.Fprintln(env.Stderr, err)
		return 1
	}
	sh.println("Connecting to " + sh.connect)
	if err := sh.open(); err != nil {
		fmt.Fprintln(env.Stderr, err)
		return 1
	}
	// Ending leaves the session to its timeout, as the original does: what
	// it made ephemeral stays a while. Only quit and close end it.
	defer sh.end()
	if command == nil {
		return sh.interact()
	}
	sh.run(command)
	return sh.status
}

func (sh *shell) end() {
	sh.mu.Lock()
	sh.ended = true
	sh.mu.Unlock()
	if sh.raw != nil {
		sh.raw.Abandon()
	}
}

// parseOptions takes the options before the command. Others than these are
// passed over, as in the original.
func (sh *shell) parseOptions(args []string) (command []string, err error) {
	for len(args) > 0 {
		option := args[0]
		args = args[1:]
		switch option {
		case "-server", "-timeout", "-zk-tls-config-file":
			if len(args) == 0 {
				fmt.Fprintf(sh.env.Stderr, "Error: no argument found for option %s\n", option)
				return nil, nil
			}
			value := args[0]
			args = args[1:]
			switch option {
			case "-server":
				sh.connect = value
			case "-timeout":
				ms, err := strconv.ParseInt(value, 10, 32)
				if err != nil {
					return nil, fmt.Errorf("Exception in thread \"main\" java.lang.NumberFormatException: For input string: %q", value)
				}
				sh.timeout = time.Duration(ms) * time.Millisecond
			default:
				return nil, fmt.Errorf("-zk-tls-config-file %s: TLS to ZooKeeper is not supported", value)
			}
		default:
			if !strings.HasPrefix(option, "-") {
				return append([]string{option}, args...), nil
			}
		}
	}
	return nil, nil
}

// open begins a session with sh.connect.
func (sh *shell) open() error {
	greeted := make(chan struct{})
	var once sync.Once
	raw, err := zkstore.OpenRaw(zkstore.Options{Connect: sh.connect, SessionTimeout: sh.timeout}, func(e zkstore.RawEvent) {
		sh.printEvent(e)
		once.Do(func() { close(greeted) })
	})
	if err != nil {
		return err
	}
	sh.raw, sh.greeted = raw, greeted
	return nil
}

func (sh *shell) printEvent(e zkstore.RawEvent) {
	path := e.Path
	if path == "" {
		path = "null"
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.printWatches && !sh.ended {
		fmt.Fprintf(sh.env.Stdout, "\nWATCHER::\n\nWatchedEvent state:%s type:%s path:%s\n", e.State, e.Type, path)
	}
}

func (sh *shell) println(text string) { sh.print(text + "\n") }

func (sh *shell) print(text string) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	io.WriteString(sh.env.Stdout, text) //nolint:errcheck // as any tool's output
}

// say is for stderr.
func (sh *shell) say(text string) { fmt.Fprintln(sh.env.Stderr, text) }

// closeSession ends the session, as quit, close and connect do. One that is
// about to be made is awaited, so that the server is told.
func (sh *shell) closeSession() {
	if sh.raw == nil {
		return
	}
	if sh.raw.Ready(sh.ctx) == nil {
		sh.awaitGreeting()
	}
	sh.raw.Close()
	sh.raw = nil
	sh.printEvent(zkstore.RawEvent{State: "Closed", Type: "None"})
}

// awaitGreeting lets the connection's own event be printed first, so that
// output has one order.
func (sh *shell) awaitGreeting() {
	select {
	case <-sh.greeted:
	case <-sh.ctx.Done():
	}
}

// run executes one command. over is true when the shell is to end.
func (sh *shell) run(words []string) (over bool) {
	err := sh.execute(words)
	var exit shellExit
	if errors.As(err, &exit) {
		sh.status = int(exit)
		return true
	}
	sh.status = 0
	if err == nil {
		return false
	}
	sh.say(err.Error())
	sh.status = 1
	var own *shellError
	if errors.As(err, &own) {
		sh.status = own.status
	}
	var exception *javaException
	return errors.As(err, &exception)
}

// interact reads commands until quit or the end of input.
func (sh *shell) interact() int {
	sh.println("Welcome to ZooKeeper!")
	sh.println("JLine support is disabled")
	next, done := sh.lines()
	defer done()
	for sh.ctx.Err() == nil {
		line, err := next()
		if err != nil {
			break
		}
		if line == "" {
			continue
		}
		// The line is entered before it is executed: history shows itself.
		sh.history = append(sh.history, line)
		if sh.run(splitWords(line)) {
			break
		}
	}
	return sh.status
}

// lines gives a reader of lines: an editor on a terminal, stdin as it is
// otherwise.
func (sh *shell) lines() (next func() (string, error), done func()) {
	stdin, isFile := sh.env.Stdin.(*os.File)
	if isFile && term.IsTerminal(int(stdin.Fd())) && liner.TerminalSupported() {
		editor := liner.NewLiner()
		editor.SetCtrlCAborts(true)
		return func() (string, error) {
			line, err := editor.Prompt(sh.prompt())
			if err == nil && line != "" {
				editor.AppendHistory(line)
			}
			return line, err
		}, func() { editor.Close() } //nolint:errcheck // the terminal is given back
	}
	reader := bufio.NewReader(sh.env.Stdin)
	return func() (string, error) {
		line, err := reader.ReadString('\n')
		if err != nil && line == "" {
			return "", err
		}
		return strings.TrimRight(line, "\r\n"), nil
	}, func() {}
}

func (sh *shell) prompt() string {
	state := "CLOSED"
	if sh.raw != nil {
		state = sh.raw.State()
	}
	return fmt.Sprintf("[zk: %s(%s) %d] ", sh.connect, state, len(sh.history))
}

var shellWord = regexp.MustCompile(`\s*([^"'\s]\S*|"[^"]*"|'[^']*')\s*`)

// splitWords splits a line into words; quotes hold words together.
func splitWords(line string) []string {
	var words []string
	for _, match := range shellWord.FindAllStringSubmatch(line, -1) {
		word := match[1]
		if len(word) > 1 && (word[0] == '"' || word[0] == '\'') && word[len(word)-1] == word[0] {
			word = word[1 : len(word)-1]
		}
		words = append(words, word)
	}
	return words
}

// execute runs the commands of the shell itself, and those of the table.
func (sh *shell) execute(words []string) error {
	if len(words) == 0 {
		sh.usage()
		return shellErrorf("No command entered")
	}
	name := words[0]
	command, known := shellCommands[name]
	if !known {
		sh.usage()
		return &shellError{"Command not found: Command not found " + name, 127}
	}
	if command.local != nil {
		return command.local(sh, words)
	}
	if sh.raw == nil {
		sh.println("Not connected")
		return nil
	}
	line, err := command.parse(words)
	if err != nil {
		return err
	}
	return command.run(sh, line)
}

func (sh *shell) usage() {
	sh.say("ZooKeeper -server host:port [-zk-tls-config-file <file>] cmd args")
	for _, name := range shellCommandNames() {
		sh.say("\t" + name + " " + shellCommands[name].usage)
	}
}

func (sh *shell) quit([]string) error {
	sh.closeSession()
	return shellExit(sh.status)
}

func (sh *shell) showHistory([]string) error {
	last := len(sh.history) - 1
	if last < 0 { // a command of the command line is not in the history
		sh.println("0 - null")
	}
	for i := max(last-10, 0); i <= last; i++ {
		sh.println(fmt.Sprintf("%d - %s", i, sh.history[i]))
	}
	return nil
}

func (sh *shell) redo(words []string) error {
	if len(words) < 2 {
		return nil
	}
	n, err := parseJavaInt(words[1])
	if err != nil {
		return err
	}
	// The redo itself is the last entry; it becomes what it repeats.
	current := len(sh.history) - 1
	if n < 0 || n >= max(current, 0) {
		return shellErrorf("Command index out of range")
	}
	repeated := splitWords(sh.history[n])
	if len(repeated) > 0 && repeated[0] == "redo" {
		return shellErrorf("No redoing redos")
	}
	sh.history[current] = sh.history[n]
	return sh.execute(repeated)
}

func (sh *shell) setPrintWatches(words []string) error {
	sh.mu.Lock()
	on := sh.printWatches
	if len(words) > 1 {
		sh.printWatches = words[1] == "on"
	}
	sh.mu.Unlock()
	if len(words) > 1 {
		return nil
	}
	if on {
		sh.println("printwatches is on")
	} else {
		sh.println("printwatches is off")
	}
	return nil
}

func (sh *shell) reconnect(words []string) error {
	sh.closeSession()
	if len(words) > 1 {
		sh.connect = words[1]
	}
	if err := sh.open(); err != nil {
		return shellErrorf("%v", err)
	}
	return nil
}

// parseJavaInt reads a number; what is none ends the original with an
// exception, and the shell with it.
func parseJavaInt(text string) (int, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, &javaException{fmt.Sprintf("java.lang.NumberFormatException: For input string: %q", text)}
	}
	return int(n), nil
}

// javaException ends the shell.
type javaException struct{ text string }

func (e *javaException) Error() string { return `Exception in thread "main" ` + e.text }
