// Package cli is the command line: one table of commands, one file for each.
//
// A command is a function of its environment and its arguments that returns
// the exit status, so that tests call it and compare its output. Names,
// options, output and statuses are those of Kafka's tools; data goes to
// Stdout, talk to Stderr. The scripts in bin/ are one line each: they call
// gregor with the command's name.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"sort"
)

// Env is what a command sees of the world.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Program        string // as the user typed it: bin/kafka-topics.sh
	Home           string // directory above bin/
}

// Command runs one command and returns its exit status.
type Command func(ctx context.Context, env *Env, args []string) int

// commands is the table; files of this package enter themselves with
// register from a package-level variable initialiser.
var commands = map[string]Command{}

// register enters a command under its name, which is the script's name
// without .sh.
func register(name string, c Command) bool {
	if commands[name] != nil {
		panic("two commands are called " + name)
	}
	commands[name] = c
	return true
}

// Run runs the command called args[0], which may be the name of a Java class.
func Run(ctx context.Context, env *Env, args []string) int {
	if len(args) == 0 {
		usage(env)
		return 1
	}
	c, ok := commands[args[0]]
	if !ok {
		c, ok = byClass(args[0])
	}
	if !ok {
		fmt.Fprintf(env.Stderr, "gregor: there is no command %q\n", args[0])
		usage(env)
		return 1
	}
	return c(ctx, env, args[1:])
}

func usage(env *Env) {
	fmt.Fprintln(env.Stderr, "usage: gregor COMMAND [ARGUMENT]...\ncommands:")
	names := make([]string, 0, len(commands))
	for name := range commands {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Fprintln(env.Stderr, "  "+name)
	}
}

// Process is the environment of this process.
func Process() *Env {
	return &Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv,
		Program: os.Getenv("GREGOR_PROGRAM"), Home: os.Getenv("GREGOR_HOME")}
}
