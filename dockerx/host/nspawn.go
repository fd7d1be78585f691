package host

import (
	"strings"

	"dx/nsops/proc"
)

// nspawn keeps each guest with a process of systemd-nspawn's, whose arguments have the name:
// -M NAME, --machine=NAME (systemd src/nspawn/nspawn.c, parse_argv). A guest that is registered
// is machined's as well, by the same name. The init is a child of its: the only one, or, of
// several, none that dx takes.
type nspawn struct{}

func (nspawn) monitors(program string) bool      { return program == "systemd-nspawn" }
func (nspawn) written(stores) ([]*record, error) { return nil, nil }

func (nspawn) kept(m *monitor, _ stores) (*record, error) {
	name := parseNspawn(m.args)
	if !validID("", name) {
		return nil, nil
	}
	child, err := guestOf(m.Process)
	if err != nil || child == 0 {
		return nil, err
	}
	r := &record{
		id: name, name: name, pid: child, monitor: &m.believed, bundle: handle{fd: none}, runtime: "systemd-nspawn",
		proof: "the arguments of its systemd-nspawn, whose child it is, the first process of a PID namespace",
	}
	r.engine = Engine{Manager: "machine"}
	return r, nil
}

// parseNspawn returns the name of the guest; empty: it is that of its directory, which dx
// leaves alone. What stands behind the first word that is no flag is the guest's.
func parseNspawn(args []string) string {
	valued := map[string]bool{"-D": true, "-i": true, "-M": true, "-u": true, "-S": true, "-p": true, "-E": true, "-U": false, "-L": true, "-Z": true}
	for i := 1; i < len(args); i++ {
		name, value, inline := strings.Cut(args[i], "=")
		switch {
		case inline && name == "--machine":
			return value
		case args[i] == "--" || !strings.HasPrefix(args[i], "-"):
			return ""
		case (args[i] == "-M" || args[i] == "--machine") && i+1 < len(args):
			return args[i+1]
		case strings.HasPrefix(args[i], "-M"):
			return args[i][2:]
		case valued[args[i]], !inline && nspawnValues[name]:
			i++
		}
	}
	return ""
}

// nspawnValues are those of its long flags whose value is a word of its own.
var nspawnValues = map[string]bool{
	"--directory": true, "--image": true, "--user": true, "--slice": true, "--property": true, "--setenv": true,
	"--uuid": true, "--hostname": true, "--bind": true, "--bind-ro": true, "--tmpfs": true, "--capability": true,
}

// guestOf returns the child that is the first process of a PID namespace of its own; 0 if
// there is none, or if there are several.
func guestOf(p *proc.Process) (int, error) {
	children, err := p.Children()
	if err != nil {
		return 0, err
	}
	guest := 0
	for _, pid := range children {
		child, err := proc.Open(pid)
		if err != nil {
			continue
		}
		st, err := child.Status()
		child.Close()
		if err != nil || len(st.NSpid) != 2 || st.NSpid[1] != 1 {
			continue
		}
		if guest != 0 {
			return 0, nil
		}
		guest = pid
	}
	return guest, nil
}
