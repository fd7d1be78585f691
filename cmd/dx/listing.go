package main

import (
	"runtime"
	"runtime/debug"

	"dx/cmd/dx/output"
	"dx/dockerx"
)

// withResolver lends run a resolver of what the global flags ask.
func (a *app) withResolver(run func(*dockerx.Resolver) error) error {
	r, err := a.resolver()
	if err != nil {
		return err
	}
	defer r.Close()
	collectLate()
	return run(r)
}

// collectLate puts the first collection of garbage off until the heap has 16 MiB, which few
// lists reach: at 4 MiB it takes a fifth of the time of a list of 100. From then on all is
// as usual, or a list of 10,000 would take several times the memory that it needs.
func collectLate() {
	usual := debug.SetGCPercent(400)
	runtime.AddCleanup(new(*byte), func(usual int) { debug.SetGCPercent(usual) }, usual)
}

// failures reports what failed and lets a verb go on: as docker inspect does, an
// argument that fails does not keep the others from being shown.
type failures struct {
	*app
	failed bool
}

func (f *failures) add(err error) {
	f.exitCode(err)
	f.failed = true
}

// status is the end of a verb: err, or that something has failed before.
func (f *failures) status(err error) error {
	if err == nil && f.failed {
		return &statusError{code: exitFailure}
	}
	return err
}

// listing is a run of a verb that prints records of what its arguments name.
type listing struct {
	failures
	out      *output.Printer
	resolver *dockerx.Resolver
}

// printer is that of the results of a verb.
func (a *app) printer(o output.Options) (*output.Printer, error) {
	o.Colour = a.colour
	return output.New(a.out, o)
}

// list runs a verb that lists; a wrong template is known before any work.
func (a *app) list(o output.Options, run func(*listing) error) error {
	out, err := a.printer(o)
	if err != nil {
		return err
	}
	return a.withResolver(func(r *dockerx.Resolver) error {
		l := &listing{failures: failures{app: a}, out: out, resolver: r}
		return l.status(run(l))
	})
}
