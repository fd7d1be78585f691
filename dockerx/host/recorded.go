package host

// AddRecorded adds what only Docker's files tell of: containers that do not run, and those
// whose shim has died and whose init is in the host's PID namespace. Where a container was
// found whose files could not be read then, they are put to it.
func (l *Listing) AddRecorded(daemons []Daemon) {
	recorded := Recorded(l.Found, daemons, l.warn)
	bearers := map[string]int{}
	for _, d := range recorded {
		bearers[d.ID]++
	}
	nameless := map[string]*Found{}
	for _, f := range l.Found {
		if f.Engine().Docker && f.Docker() == nil {
			nameless[f.ID] = f
		}
	}
	for _, d := range recorded {
		// Two engines may have the ID: then the one that names this process has it.
		f := nameless[d.ID]
		if f != nil && (bearers[d.ID] == 1 || d.PID == f.PID) {
			f.docker, f.engine, f.root, f.read = d.docker, d.engine, d.root, true
			continue
		}
		l.Found = append(l.Found, d)
	}
}
