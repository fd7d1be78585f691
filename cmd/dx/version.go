package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"dx/cmd/dx/output"
	"dx/dockerx"
)

// What cmd/dx/packaging/ldflags stamps; empty in a build by a bare go build.
var stampVersion, stampCommit, stampDate string

// version is the stamped one, else what go build noted of the commit.
func version() string {
	if stampVersion != "" {
		return stampVersion
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}

// versionLine is docker's form: "0.1.0, build c44a689".
func versionLine() string {
	if len(stampCommit) < 7 {
		return version()
	}
	return version() + ", build " + stampCommit[:7]
}

// versionRecord is the object of dx version --format json, with docker's names.
type versionRecord struct {
	Client clientVersion
	Server *serverVersion // nil: no engine has answered
}

type clientVersion struct {
	Version, GitCommit, BuildTime, GoVersion, Os, Arch, KernelVersion string
}

type serverVersion struct {
	Address, Version, Containerd, Runc string
}

func (r versionRecord) Short() versionRecord { return r }
func (r versionRecord) Quiet() string        { return "" }

func (a *app) versionCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "version [OPTIONS]",
		Short: "Show the versions of dx, the kernel and the engine",
		Long: "Show which dx this is, which Go built it, on which kernel it runs, and the\n" +
			"engine's versions if it answers. An engine that does not is no error.",
		Args:                  noArguments(exitFailure),
		DisableFlagsInUseLine: true,
		RunE:                  func(cmd *cobra.Command, _ []string) error { return a.runVersion(cmd.Context(), format) },
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", "Format output using a custom template:\n"+
		"'json':     Print in JSON format\n"+
		"'TEMPLATE': Print output using the given Go template, with docker's functions")
	return cmd
}

func (a *app) runVersion(ctx context.Context, format string) error {
	out, err := a.printer(output.Options{Format: format})
	if err != nil {
		return err
	}
	return a.withResolver(func(r *dockerx.Resolver) error {
		rec := versionRecord{Client: thisClient()}
		if a.source != string(dockerx.SourceHost) {
			rec.Server = a.askVersions(ctx, r)
		}
		if out.IsTable() {
			return versionCard(out, rec)
		}
		return output.Render(out, []versionRecord{rec}, nil)
	})
}

// askVersions says on stderr why an engine has not answered.
func (a *app) askVersions(ctx context.Context, r *dockerx.Resolver) *serverVersion {
	address, v, err := r.EngineVersions(ctx)
	if err != nil {
		a.say("no engine has answered: %v", err)
		return nil
	}
	return &serverVersion{Address: address, Version: v.Engine, Containerd: v.Containerd, Runc: v.Runc}
}

func thisClient() clientVersion {
	c := clientVersion{
		Version: version(), GitCommit: stampCommit, BuildTime: stampDate,
		GoVersion: runtime.Version(), Os: runtime.GOOS, Arch: runtime.GOARCH, KernelVersion: "unknown",
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		c.KernelVersion = unix.ByteSliceToString(name.Release[:])
	}
	return c
}

// versionCard leaves out what is not known.
func versionCard(out *output.Printer, v versionRecord) error {
	card := out.NewCard()
	section := func(title string, lines ...[2]string) {
		card.Line(title)
		for _, l := range lines {
			if l[1] != "" {
				card.Line(fmt.Sprintf(" %-12s %s", l[0]+":", l[1]))
			}
		}
	}
	c := v.Client
	section("Client: dx", [2]string{"Version", c.Version}, [2]string{"Go version", c.GoVersion}, [2]string{"Git commit", c.GitCommit},
		[2]string{"Built", c.BuildTime}, [2]string{"OS/Arch", c.Os + "/" + c.Arch}, [2]string{"Kernel", c.KernelVersion})
	if s := v.Server; s != nil {
		card.Blank()
		section("Server: "+s.Address, [2]string{"Version", s.Version}, [2]string{"containerd", s.Containerd}, [2]string{"runc", s.Runc})
	}
	return card.Print()
}
