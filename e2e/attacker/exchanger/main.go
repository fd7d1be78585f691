// Command exchanger makes two names of one directory lead to a file and to a link, and
// exchanges them without end (renameat2(2), RENAME_EXCHANGE): whoever looks at a name
// and then opens it gets the other. Now and then the file is written anew.
//
//	exchanger NAME TARGET
package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	name, target := os.Args[1], os.Args[2]
	other := name + ".other"
	text := func() []byte { return fmt.Appendf(nil, "goroutine 1 [planted]:\n%d\n", time.Now().UnixNano()) }
	err := os.WriteFile(name, text(), 0o644)
	if err == nil {
		err = os.Symlink(target, other)
	}
	file, errOpen := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil || errOpen != nil {
		fmt.Fprintln(os.Stderr, "exchanger:", err, errOpen)
		os.Exit(1)
	}
	fmt.Println("ready")
	for last := time.Now(); ; {
		if time.Since(last) > 120*time.Millisecond {
			last = time.Now()
			_, _ = file.WriteAt(text(), 0)
		}
		_ = unix.Renameat2(unix.AT_FDCWD, name, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE)
	}
}
