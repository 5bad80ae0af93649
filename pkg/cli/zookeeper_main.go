package cli

import "context"

var _ = register("zookeeper-main", zookeeperMain)

// zookeeperMain is the class behind zookeeper-shell.sh and zkCli.sh, as
// kafka-run-class.sh starts it: the server is the option -server.
func zookeeperMain(ctx context.Context, env *Env, args []string) int {
	return zookeeperShell(ctx, env, append([]string{"localhost:2181"}, args...))
}
