// Command gregor is the whole of Gregor in one binary: the broker, the bundled
// ZooKeeper and the tools. The scripts in bin/ call it by a command's name.
package main

import (
	"context"
	"os"

	"gregor/pkg/cli"
)

func main() {
	os.Exit(cli.Run(context.Background(), cli.Process(), os.Args[1:]))
}
