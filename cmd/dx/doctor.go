package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"dx/cmd/dx/output"
	"dx/dockerx/doctor"
	"dx/nsops/proc"
	"dx/nsops/session"
)

// Exit codes of dx doctor, for monitoring.
var doctorCodes = map[string]int{"healthy": 0, "degraded": 1, "hung": 2}

// doctorOptions are the flags of dx doctor.
type doctorOptions struct {
	list     output.Options
	timeout  time.Duration
	watch    bool
	interval time.Duration
	dump     bool
	bundle   string
	unmount  string
}

func (a *app) doctorCommand() *cobra.Command {
	var o doctorOptions
	cmd := &cobra.Command{
		Use:   "doctor [OPTIONS]",
		Short: "Find out where Docker is stuck",
		Long: "Find out where Docker is stuck: the client, the socket, dockerd, the lock of one\n" +
			"container, containerd, a shim, runc, a mount, a disk, the kernel. Everything is asked\n" +
			"at once, each with a deadline, and nothing is changed; --dump alone sends a signal.\n" +
			"Of other engines: containerd by itself and its CRI, CRI-O, Podman's service, conmon.\n" +
			"--unmount looks at nothing, and takes one dead mount away.\n\n" +
			"What could not be looked at is said to be not checked, and nothing is concluded from\n" +
			"it: without root, or of an engine that is not a dockerd of this host.\n\n" +
			"The exit code is 0 if all is well, 1 if something does not work, 2 if the engine does\n" +
			"not work. 125 means that dx itself failed.",
		Args:                  noArguments(exitDx),
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.checkDoctor(o); err != nil {
				return conflict(cmd, err)
			}
			return a.asFailure(a.runDoctor(cmd.Context(), o, cmd.Flags().Changed("api-timeout")))
		},
	}
	f := cmd.Flags()
	o.list.Register(f)
	f.Lookup("quiet").Usage = "Only display the status: healthy, degraded or hung"
	f.Var(newPeriod(&o.timeout, time.Second), "timeout", "How long to wait for each answer (ten times as long for --unmount); --api-timeout says it for the engine's alone")
	f.BoolVarP(&o.watch, "watch", "w", false, "Go on looking, and report what changes")
	f.Var(newPeriod(&o.interval, 2*time.Second), "interval", "Pause between two looks of --watch")
	f.BoolVar(&o.dump, "dump", false, "Have dockerd and containerd write down their goroutines (SIGUSR1), and say what they wait for")
	f.StringVar(&o.bundle, "bundle", "", "Write all that was found to `FILE`, a new tar.gz for a bug report; environments, arguments, labels, options and what looks like a secret are masked")
	f.StringVar(&o.unmount, "unmount", "", "Take the dead mount at `CONTAINER:PATH` (or host:PATH) out of sight, without a program of the container's; who waits for it goes on waiting")
	return cmd
}

func (a *app) runDoctor(ctx context.Context, o doctorOptions, apiTimeout bool) error {
	out, err := a.printer(o.list)
	if err != nil {
		return err
	}
	if _, err := proc.Self(); err != nil { // nothing would be what it seems
		return &clientError{err: fmt.Errorf("dx: %w", err), code: exitDx}
	}
	if o.unmount != "" {
		return a.unmount(ctx, o)
	}
	opts := doctor.Options{Host: a.host, Context: a.context, TLS: a.tls, Timeout: o.timeout, Progress: a.progress()}
	if apiTimeout {
		opts.APITimeout = a.apiTimeout
	}
	if o.watch {
		return a.watchDoctor(ctx, out, opts, o.interval)
	}
	p, err := doctor.New(opts)
	if err != nil {
		return &clientError{err: err, code: exitDx}
	}
	defer p.Close()
	r, err := a.examine(ctx, p, o)
	if err != nil {
		return err
	}
	if err := renderDoctor(out, r); err != nil {
		return err
	}
	return doctorStatus(r)
}

// examine looks, and does what --dump and --bundle ask. The bundle's file is made first:
// nobody waits for what cannot be written.
func (a *app) examine(ctx context.Context, p *doctor.Examination, o doctorOptions) (*doctor.Report, error) {
	var file *doctor.BundleFile
	if o.bundle != "" {
		var err error
		if file, err = doctor.CreateBundle(o.bundle); err != nil {
			return nil, bundleError(o, err)
		}
		defer file.Close()
	}
	r := p.Examine(ctx)
	a.clearProgress()
	if o.dump {
		r.Dumps = p.Dump(ctx)
	}
	if file == nil {
		return r, nil
	}
	masked, err := p.Bundle(ctx, file, r)
	if err == nil {
		err = file.Commit()
	}
	if err != nil {
		return nil, bundleError(o, err)
	}
	a.say("%s written; look through it before you hand it on", o.bundle)
	if masked != "" {
		a.say("masked in it, see MASKED.txt there: %s", masked)
	}
	return r, nil
}

func bundleError(o doctorOptions, err error) error {
	return fmt.Errorf("write %s: %w", o.bundle, err)
}

// checkDoctor refuses what would be without effect.
func (a *app) checkDoctor(o doctorOptions) error {
	switch {
	case a.source != "auto":
		return fmt.Errorf("--source %s: dx doctor asks both the engine and the host, to compare them", a.source)
	case o.unmount != "" && (o.watch || o.dump || o.bundle != ""):
		return errors.New("--unmount goes with none of --watch, --dump and --bundle")
	case o.watch && (o.dump || o.bundle != ""):
		return errors.New("--watch goes with neither --dump nor --bundle: they are for one look")
	}
	return nil
}

func doctorStatus(r *doctor.Report) error {
	if code := doctorCodes[r.Status]; code != 0 {
		return &statusError{code: code}
	}
	return nil
}

// watchDoctor looks again and again, and prints the first report and each that
// says something else, until a signal ends it.
func (a *app) watchDoctor(ctx context.Context, out *output.Printer, opts doctor.Options, interval time.Duration) error {
	ctx, stop := session.UntilSignal(ctx)
	defer stop()
	last := ""
	for {
		p, err := doctor.New(opts)
		if err != nil {
			return err
		}
		r := p.Examine(ctx)
		p.Close()
		a.clearProgress()
		if ctx.Err() == nil && r.Digest() != last {
			if last != "" && out.Format == "" && !out.Quiet {
				a.result("")
				a.result("%s", time.Now().Format(time.RFC3339))
			}
			last = r.Digest()
			if err := renderDoctor(out, r); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(interval):
		}
	}
}
