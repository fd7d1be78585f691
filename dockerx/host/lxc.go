package host

import (
	"path"
	"strings"

	"dx/nsops/proc"
)

// lxc keeps each container with a process of lxc-start's that has renamed itself:
// "[lxc monitor] /var/lib/lxc NAME" (lxc src/lxc/lxccontainer.c). The init is its child.
type lxc struct{}

func (lxc) monitors(program string) bool {
	return strings.HasPrefix(program, "lxc-") || program == "lxc"
}
func (lxc) written(stores) ([]*record, error) { return nil, nil }
func (lxc) kept(m *monitor, _ stores) (*record, error) {
	dir, name, ok := parseLXC(m.args[0])
	if !ok {
		return nil, nil
	}
	child, err := onlyChild(m.Process)
	if err != nil || child == 0 {
		return nil, err
	}
	r := &record{
		id: name, name: name, pid: child, monitor: &m.believed, bundle: handle{fd: none}, runtime: "lxc",
		proof: "the title of LXC's monitor, whose child it is",
	}
	r.engine = Engine{Manager: "lxc", Namespace: dir}
	return r, nil
}

func parseLXC(title string) (dir, name string, ok bool) {
	rest, ok := strings.CutPrefix(title, "[lxc monitor] ")
	if !ok {
		return "", "", false
	}
	dir, name, ok = strings.Cut(rest, " ")
	return dir, name, ok && path.IsAbs(dir) && validID("", name)
}

// onlyChild returns the child of a monitor; 0 if it has none, or several.
func onlyChild(p *proc.Process) (int, error) {
	children, err := p.Children()
	if err != nil || len(children) != 1 {
		return 0, err
	}
	return children[0], nil
}
