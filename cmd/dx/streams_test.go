package main

import (
	"os"
	"testing"

	"dx/cmd/dx/output"
	"dx/cmd/dx/output/outputtest"
)

// rendered is what records are in a file.
func rendered[T output.Record[T]](t *testing.T, o output.Options, records []T, table func() output.Table) string {
	t.Helper()
	return outputtest.Written(t, func(f *os.File) error {
		out, err := output.New(f, o)
		if err != nil {
			return err
		}
		return output.Render(out, records, table)
	})
}
