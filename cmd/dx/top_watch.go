package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// watch shows the processes again and again, as long as one of the containers runs.
func (t *topRun) watch(ctx context.Context) error {
	return t.app.watch(ctx, t.o.interval, func(ctx context.Context, r *refresher) (string, error) {
		before := len(t.of)
		if err := t.look(ctx); err != nil {
			return "", err
		}
		if len(t.of) == 0 {
			return "", &statusError{code: exitFailure} // that they have ended is said
		}
		if len(t.of) < before {
			r.afresh()
		}
		out, err := t.printer(t.o.Options) // the terminal may be of another size by now
		if err != nil {
			return "", err
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%s, every %v\n", time.Now().Format(time.TimeOnly), t.o.interval)
		err = t.render(ctx, out.On(&b))
		return b.String(), err
	})
}
