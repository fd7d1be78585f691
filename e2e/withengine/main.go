// Command withengine runs a command with a private docker engine beside it, in a
// world of their own:
//
//	go run ./e2e/withengine [-cgroup v1|v2] -- go test ./nsops/...
//
// The command finds the engine in DOCKER_HOST and DX_TEST_ENGINE, and an image in
// DX_TEST_IMAGE. Engine and containers are gone when it ends, and also when
// withengine is killed.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"

	"dx/e2e/engine"
	"dx/e2e/world"
)

func main() { os.Exit(world.Enter(beside)) }

func beside() int {
	code, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "withengine:", err)
		return 1
	}
	return code
}

func run() (code int, err error) {
	versions := map[string]engine.Cgroup{"": engine.Host, "v1": engine.V1, "v2": engine.V2}
	cgroup := flag.String("cgroup", "", "cgroup version: v1, v2 (default: the host's)")
	flag.Parse()
	version, ok := versions[*cgroup]
	if !ok || flag.NArg() == 0 {
		flag.Usage()
		return 2, nil
	}
	// The command gets ctrl-C from the terminal itself; what is left is to clean up.
	signal.Ignore(os.Interrupt)
	e, err := engine.Start(engine.Options{Cgroup: version})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	return runBeside(e, flag.Args())
}

func runBeside(e *engine.Engine, args []string) (int, error) {
	cmd := exec.Command(args[0], args[1:]...)
	if e.Private() {
		cmd = exec.Command("nsenter", append([]string{"-m", "-w", "-t", fmt.Sprint(e.Janitor()), "--"}, args...)...)
	}
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+e.Host, "DX_TEST_ENGINE="+e.Host, "DX_TEST_IMAGE="+engine.Busybox)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}
