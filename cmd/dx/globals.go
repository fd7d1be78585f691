package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Docker's global flags stand before the verb (docker/cli, cli/flags/options.go). Those
// that dx has as flags of its own are left to cobra; the others are what docker's
// environment variables say, and are put there.

// globals takes docker's global flags from the front of a command line and returns the
// rest. In the plugin, docker's name for it is among them: `docker -H x dx -H y ps`.
func (a *app) globals(args []string) ([]string, error) {
	if len(args) == 0 || !a.plugin && !strings.HasPrefix(args[0], "-") && !isCompletion(args) {
		return args, nil
	}
	if isCompletion(args) { // the last word is still being typed
		last := len(args) - 1
		rest, err := a.globals(args[1:last])
		return append(append([]string{args[0]}, rest...), args[last]), err
	}
	f := globalFlags{in: args}
	err := f.take()
	if a.plugin && err == nil {
		if len(f.in) > 0 && f.in[0] == "help" { // docker help dx
			f.kept, f.in = append(f.kept, "help"), f.in[1:]
		}
		if len(f.in) > 0 && f.in[0] == "dx" {
			f.in = f.in[1:]
			err = f.take()
		}
	}
	return append(f.kept, f.in...), err
}

// globalFlags are the arguments from which flags are taken.
type globalFlags struct {
	in   []string
	kept []string // flags that are left to cobra
	dir  string   // of the files that --tlscacert and the like name
}

func (f *globalFlags) take() error {
	for len(f.in) > 0 && len(f.in[0]) > 1 && f.in[0][0] == '-' && f.in[0] != "--" {
		arg := f.in[0]
		name, value, inline := splitFlag(arg)
		switch name {
		case "D", "debug", "tls", "tlsverify":
			f.in = f.in[1:]
			setSwitch(name, !inline || value != "false")
		case "config", "l", "log-level", "tlscacert", "tlscert", "tlskey":
			if !inline {
				if len(f.in) < 2 {
					return &clientError{code: exitDx, err: fmt.Errorf("flag needs an argument: %s", arg)}
				}
				value, f.in = f.in[1], f.in[1:]
			}
			f.in = f.in[1:]
			if err := f.set(name, value); err != nil {
				return &clientError{code: exitDx, err: err}
			}
		case "H", "host", "c", "context", "api-timeout", "source":
			n := 2
			if inline || len(f.in) < 2 {
				n = 1
			}
			f.kept, f.in = append(f.kept, f.in[:n]...), f.in[n:]
		default:
			f.kept, f.in = append(f.kept, arg), f.in[1:]
		}
	}
	return nil
}

// splitFlag reads --name, --name=value, -n, -nvalue and -n=value.
func splitFlag(arg string) (name, value string, inline bool) {
	if long, ok := strings.CutPrefix(arg, "--"); ok {
		return cutFlag(long)
	}
	name, value = arg[1:2], strings.TrimPrefix(arg[2:], "=")
	return name, value, len(arg) > 2
}

func cutFlag(s string) (name, value string, inline bool) { return strings.Cut(s, "=") }

// setSwitch is what a flag without a value means. dx has no debug log of a client's.
func setSwitch(name string, on bool) {
	variable := map[string]string{"tls": "DOCKER_TLS", "tlsverify": "DOCKER_TLS_VERIFY"}[name]
	switch {
	case variable == "":
	case on:
		os.Setenv(variable, "1")
	default:
		os.Unsetenv(variable)
	}
}

// set is what a flag with a value means.
func (f *globalFlags) set(name, value string) error {
	switch name {
	case "config":
		return os.Setenv("DOCKER_CONFIG", value)
	case "l", "log-level":
		return nil
	}
	want := map[string]string{"tlscacert": "ca.pem", "tlscert": "cert.pem", "tlskey": "key.pem"}[name]
	dir, file := filepath.Split(filepath.Clean(value))
	if file != want || f.dir != "" && f.dir != dir {
		return errors.New("dx: --" + name + ": dx takes ca.pem, cert.pem and key.pem of one directory, as in DOCKER_CERT_PATH")
	}
	f.dir = dir
	if dir == "" {
		dir = "."
	}
	return os.Setenv("DOCKER_CERT_PATH", filepath.Clean(dir))
}
