// Command listener takes connections at a unix socket and answers none. Further
// arguments are ignored: they are for whoever reads its command line.
//
//	listener SOCKET [ARGUMENT...]
package main

import (
	"fmt"
	"net"
	"os"
)

func main() {
	l, err := net.Listen("unix", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "listener:", err)
		os.Exit(1)
	}
	fmt.Println("ready")
	held := map[net.Conn]bool{} // a connection that is collected is closed
	for {
		c, err := l.Accept()
		if err != nil {
			os.Exit(1)
		}
		held[c] = true
	}
}
