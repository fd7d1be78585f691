package main

import (
	"fmt"

	"github.com/moby/term"

	"dx/dockerx/doctor"
	"dx/nsops/escape"
)

// Whatever dx says beside its result goes through here, and no text that somebody else
// chose reaches a terminal raw. A result has its own rules (package output).

// say prints one line of dx's own on stderr.
func (a *app) say(format string, args ...any) { a.line("dx: "+format, args...) }

// line prints one line on stderr in the words of docker or runc.
func (a *app) line(format string, args ...any) {
	fmt.Fprintln(a.err, escape.Line(fmt.Sprintf(format, args...)))
}

// fromDaemon prints an error as docker prints what dockerd answers.
func (a *app) fromDaemon(text string) { a.line("Error response from daemon: %s", text) }

// lines prints a text of dx's own that has lines.
func (a *app) lines(text string) { fmt.Fprintln(a.err, escape.Lines(text)) }

// onTerminal prints what docker sends down the stream of an exec that could not be
// started. A terminal that is not in raw mode makes the carriage return itself.
func (a *app) onTerminal(text string) {
	end := "\r\n"
	if a.rawTerminal {
		end = "\n"
	}
	fmt.Fprint(a.out, escape.Line(text)+end)
}

// result prints one line on stdout.
func (a *app) result(format string, args ...any) {
	fmt.Fprintln(a.out, escape.Line(fmt.Sprintf(format, args...)))
}

// progress shows on a terminal what is waited for; nil elsewhere.
func (a *app) progress() func(doctor.Progress) {
	if !term.IsTerminal(a.err.Fd()) {
		return nil
	}
	return func(p doctor.Progress) {
		fmt.Fprintf(a.err, "\r\x1b[K%d of %d probes, waiting for: %s", p.Done, p.Total, escape.Line(p.Waiting))
	}
}

func (a *app) clearProgress() {
	if term.IsTerminal(a.err.Fd()) {
		fmt.Fprint(a.err, "\r\x1b[K")
	}
}
