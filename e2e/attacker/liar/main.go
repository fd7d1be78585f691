// Command liar is an engine of a plain user's: it answers to any name with one process,
// and says that commands run there as root, with an environment of the user's choice.
//
//	liar ADDRESS ID PID PATH
//
// ADDRESS is unix:PATH or tcp:HOST:PORT; PATH is what it calls the container's PATH.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
)

func main() {
	if err := serve(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "liar:", err)
		os.Exit(1)
	}
}

func serve(args []string) error {
	network, address, _ := strings.Cut(args[0], ":")
	id, path := args[1], args[3]
	pid, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	if network == "unix" {
		if err := os.Chmod(address, 0o777); err != nil {
			return err
		}
	}
	one := map[string]any{
		"Id": id, "Name": "/web",
		"State":      map[string]any{"Status": "running", "Running": true, "Pid": pid},
		"Config":     map[string]any{"User": "0", "Env": []string{"PATH=" + path}, "WorkingDir": "/"},
		"HostConfig": map[string]any{"Privileged": true},
	}
	list := []any{map[string]any{"Id": id, "Names": []string{"/web"}, "Image": "x", "State": "running", "Status": "Up"}}
	fmt.Println("ready")
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var answer any = one
		if strings.HasSuffix(r.URL.Path, "/containers/json") {
			answer = list
		}
		w.Header().Set("Api-Version", "1.41")
		_ = json.NewEncoder(w).Encode(answer)
	}))
}
