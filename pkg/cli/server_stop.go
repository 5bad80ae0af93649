package cli

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

var (
	_ = register("kafka-server-stop", stopCommand("kafka", "kafka.Kafka", "kafka-server-start", "quickstart"))
	_ = register("zookeeper-server-stop", stopCommand("zookeeper", "org.apache.zookeeper.server.quorum.QuorumPeerMain", "zookeeper-server-start"))
)

// stopCommand makes the command that sends $SIGNAL (TERM unless set) to every
// gregor process that runs one of the commands, and does not wait.
func stopCommand(what string, running ...string) Command {
	return func(_ context.Context, env *Env, _ []string) int {
		signal, err := signalNumber(env.Getenv("SIGNAL"))
		if err != nil {
			fmt.Fprintln(env.Stderr, err)
			return 1
		}
		pids := processesRunning(running)
		if len(pids) == 0 {
			fmt.Fprintf(env.Stdout, "No %s server to stop\n", what)
			return 1
		}
		status := 0
		for _, pid := range pids {
			if err := syscall.Kill(pid, signal); err != nil {
				fmt.Fprintf(env.Stderr, "%s: kill: (%d) - %s\n", env.Program, pid, err)
				status = 1
			}
		}
		return status
	}
}

func signalNumber(name string) (syscall.Signal, error) {
	switch strings.TrimPrefix(name, "SIG") {
	case "", "TERM", "15":
		return syscall.SIGTERM, nil
	case "INT", "2":
		return syscall.SIGINT, nil
	case "HUP", "1":
		return syscall.SIGHUP, nil
	case "KILL", "9":
		return syscall.SIGKILL, nil
	}
	return 0, fmt.Errorf("SIGNAL=%s: not a signal that ends a server (TERM, INT, HUP, KILL)", name)
}

// processesRunning lists the gregor processes whose first argument is one of
// the commands.
func processesRunning(running []string) []int {
	var pids []int
	for pid, args := range processArgs() {
		if len(args) < 2 || filepath.Base(args[0]) != "gregor" || pid == os.Getpid() {
			continue
		}
		for _, command := range running {
			if args[1] == command {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// processArgs is the argument list of every process: from /proc, and where
// there is none from ps.
func processArgs() map[int][]string {
	found := map[int][]string{}
	if runtime.GOOS == "linux" {
		paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, path := range paths {
			text, err := os.ReadFile(path)
			pid, errPid := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err == nil && errPid == nil {
				found[pid] = strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
			}
		}
		return found
	}
	text, err := exec.Command("ps", "-axo", "pid=,args=").Output()
	if err != nil {
		return found
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) > 1 {
			if pid, err := strconv.Atoi(fields[0]); err == nil {
				found[pid] = fields[1:]
			}
		}
	}
	return found
}
