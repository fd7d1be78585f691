package main

import (
	"context"
	"errors"
	"strings"

	"github.com/moby/term"
	"github.com/spf13/cobra"

	"dx/cmd/dx/pick"
	"dx/dockerx"
)

// picks reports whether somebody sits at a terminal and can be asked for a container.
func (a *app) picks() bool {
	return term.IsTerminal(a.in.Fd()) && term.IsTerminal(a.out.Fd()) && term.IsTerminal(a.err.Fd())
}

// orPick takes no arguments too, where a container can be asked for.
func (a *app) orPick(args cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if len(given) == 0 && a.picks() {
			return nil
		}
		return args(cmd, given)
	}
}

// picked asks for a container where none is given: one of those that run.
func (a *app) picked(ctx context.Context, args []string) ([]string, error) {
	if len(args) > 0 {
		return args, nil
	}
	var items []pick.Item
	err := a.withResolver(func(r *dockerx.Resolver) error {
		list, err := r.List(ctx, false)
		var unseen *dockerx.UnseenError
		if err != nil && !errors.As(err, &unseen) {
			return err
		}
		for _, l := range list {
			if l.Name == "" {
				continue // the engine's word for it is no name
			}
			items = append(items, pick.Item{Name: l.Name, Note: strings.Join([]string{l.Image, l.Status}, "   ")})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, &clientError{code: exitFailure, err: errors.New("dx: no container runs")}
	}
	item, err := pick.One(a.in, a.err, items)
	if errors.Is(err, pick.ErrCancelled) {
		return nil, &statusError{code: 130}
	}
	return []string{item.Name}, err
}
