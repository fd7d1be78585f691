package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/docker/cli/cli-plugins/metadata"
	"github.com/spf13/cobra"
)

// dx is a plugin of docker's command line where it is called docker-dx: `docker dx …`.
// Of docker/cli's plugin packages only the names are linked: the others cost more than a
// start of dx.

const (
	pluginFile = metadata.NamePrefix + "dx"

	// socketEnv names a socket that docker closes when it is told to end
	// (docker/cli, cli-plugins/socket).
	socketEnv = "DOCKER_CLI_PLUGIN_SOCKET"
)

func isPlugin(argv0 string) bool { return filepath.Base(argv0) == pluginFile }

func isMetadata(args []string) bool {
	return len(args) > 0 && args[0] == metadata.MetadataSubcommandName
}

// printMetadata answers the question by which docker knows a plugin.
func (a *app) printMetadata() error {
	return json.NewEncoder(a.out).Encode(metadata.Metadata{
		SchemaVersion: "0.1.0", Vendor: "dx", Version: version(), ShortDescription: shortHelp,
	})
}

// bePlugin ends with the docker that has started dx, and keeps docker's variables from
// what dx starts.
func bePlugin(root *cobra.Command) {
	root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "docker dx"}
	socket := os.Getenv(socketEnv)
	os.Unsetenv(socketEnv)
	os.Unsetenv(metadata.ReexecEnvvar)
	if socket == "" { // docker to 24
		return
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	go func() {
		if n, _ := conn.Read(make([]byte, 1)); n == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
		}
	}()
}

func (a *app) pluginCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plugin COMMAND",
		Short: "Make dx a plugin of docker: docker dx",
		Long: "Make dx a plugin of docker's command line, so that `docker dx exec …` is\n" +
			"`dx exec …`. The packages of dx do it for all users.",
		Args:                  atLeast(1),
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return usage(cmd, fmt.Errorf("dx: unknown command: %s %s", cmd.CommandPath(), args[0]), exitFailure)
		},
	}
	var system bool
	verb := func(name, short string, run func(link string) error) {
		sub := &cobra.Command{
			Use: name + " [OPTIONS]", Short: short, Args: noArguments(exitFailure), DisableFlagsInUseLine: true,
			RunE: func(*cobra.Command, []string) error { return run(pluginLink(system)) },
		}
		sub.Flags().BoolVar(&system, "system", false, "For all users of this host")
		cmd.AddCommand(sub)
	}
	verb("install", "Link dx into docker's directory of plugins", a.linkPlugin)
	verb("uninstall", "Remove that link", a.unlinkPlugin)
	return cmd
}

// pluginLink is where docker's client looks (docker/cli, cli-plugins/manager).
func pluginLink(system bool) string {
	if system {
		return "/usr/local/lib/docker/cli-plugins/" + pluginFile
	}
	dir := os.Getenv("DOCKER_CONFIG")
	if dir == "" {
		home, _ := os.UserHomeDir()
		dir = filepath.Join(home, ".docker")
	}
	return filepath.Join(dir, "cli-plugins", pluginFile)
}

// linkPlugin replaces a link, and no file of somebody else's.
func (a *app) linkPlugin(link string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return err
	}
	if err := removeLink(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(self, link); err != nil {
		return err
	}
	a.result("%s is now %s", "docker dx", link)
	return nil
}

func (a *app) unlinkPlugin(link string) error {
	if err := removeLink(link); err != nil {
		return err
	}
	a.result("removed %s", link)
	return nil
}

func removeLink(link string) error {
	info, err := os.Lstat(link)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		return fmt.Errorf("%s is no link: it is left as it is; remove it first", link)
	}
	return os.Remove(link)
}
