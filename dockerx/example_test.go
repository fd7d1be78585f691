package dockerx_test

import (
	"context"
	"fmt"
	"os"

	"dx/dockerx"
)

// A reference becomes a verified process, held open. The host is asked here, as where no
// engine answers; pid:N is any process.
func ExampleResolver_Resolve() {
	r, err := dockerx.NewResolver(dockerx.Options{
		From: dockerx.SourceHost,
		Warn: func(line string) { fmt.Fprintln(os.Stderr, line) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	c, err := r.Resolve(context.Background(), fmt.Sprintf("pid:%d", os.Getpid()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Println(c.Process.PID == os.Getpid(), c.Source)
	// Output: true pid
}
