package nsops

import (
	"errors"
	"io/fs"
	"os"

	"dx/nsops/proc"
)

// ReadHost reads the namespaces of the host and says whose they are: those of pid 1,
// its init. Who may not trace init (root without all of init's capabilities may not)
// has those of kthreadd, pid 2: kernel threads never leave the initial namespaces.
// Failing that too, the caller's own stand in, which an ordinary login shares with
// the host: the PID returned is then os.Getpid().
func ReadHost() (Set, int, error) {
	if _, err := proc.Self(); err != nil {
		return Set{}, 0, err
	}
	for _, pid := range []int{1, 2, os.Getpid()} {
		set, err := readHostAs(pid)
		if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, proc.ErrGone) {
			return set, pid, err
		}
	}
	return Set{}, 0, errors.New("the host's namespaces: /proc shows no process")
}

func readHostAs(pid int) (Set, error) {
	p, err := proc.Open(pid)
	if err != nil && pid == 2 {
		return Set{}, proc.ErrGone // in a container, it may be a thread of its init
	}
	if err != nil {
		return Set{}, err
	}
	defer p.Close()
	st, err := p.Stat()
	if err != nil {
		return Set{}, err
	}
	// In a PID namespace of a container's, pid 2 is just anybody.
	if pid == 2 && st.Flags&proc.PFKthread == 0 {
		return Set{}, proc.ErrGone
	}
	return Read(p)
}
