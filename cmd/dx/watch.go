package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/moby/term"

	"dx/nsops/session"
)

func isTerminal(f *os.File) bool { return term.IsTerminal(f.Fd()) }

// refresher draws a text at the same place of a terminal again and again. It changes no mode
// of the terminal and no screen: whatever ends dx, nothing need be put right.
type refresher struct {
	out   io.Writer
	size  func() (width, height int)
	lines int // of the last text
	width int // of the terminal, then
}

// Sequences of a terminal (ECMA-48; DECAWM of DEC's).
const (
	upBy      = "\r\x1b[%dA"
	clearAll  = "\x1b[H\x1b[2J"
	clearLine = "\x1b[K\n"
	clearRest = "\x1b[J"
	noWrap    = "\x1b[?7l"
	wrap      = "\x1b[?7h"
)

// draw shows as much of a text as the terminal has lines, in one write: it is whole, or not
// there.
func (r *refresher) draw(text string) error {
	width, height := r.size()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if most := height - 1; most > 1 && len(lines) > most {
		more := len(lines) - (most - 1)
		lines = append(lines[:most-1], fmt.Sprintf("… %d more", more))
	}
	var b strings.Builder
	switch {
	case r.lines == 0:
	case width != r.width || r.lines >= height: // its lines have been folded, or are gone
		b.WriteString(clearAll)
	default:
		fmt.Fprintf(&b, upBy, r.lines)
	}
	b.WriteString(noWrap)
	for _, line := range lines {
		b.WriteString(line + clearLine)
	}
	b.WriteString(clearRest + wrap)
	r.lines, r.width = len(lines), width
	_, err := io.WriteString(r.out, b.String())
	return err
}

// afresh has the next text drawn below what is on the terminal now.
func (r *refresher) afresh() { r.lines = 0 }

// watch draws what frame returns until a signal ends it, or frame an error. Where frame has
// said something else meanwhile, it calls afresh.
func (a *app) watch(ctx context.Context, interval time.Duration, frame func(context.Context, *refresher) (string, error)) error {
	ctx, stop := session.UntilSignal(ctx)
	defer stop()
	r := &refresher{out: a.out, size: func() (int, int) {
		size, err := term.GetWinsize(a.out.Fd())
		if err != nil {
			return 0, 0
		}
		return int(size.Width), int(size.Height)
	}}
	for {
		text, err := frame(ctx, r)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		if err := r.draw(text); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(interval):
		}
	}
}
