package host

// AddRecorded adds what only Docker's files tell of: containers that do not run, and those
// whose shim has died and whose init is in the host's PID namespace. Where a container was
// found whose files could not be read then, they are put to it.
func (l *Listing) AddRecorded(daemons []Daemon) {
	nameless := map[string]*Found{}
	for _, f := range l.Found {
		if e := f.Engine(); e.Docker && f.docker == nil {
			nameless[f.ID] = f
		}
	}
	for _, d := range Recorded(l.Found, daemons, l.warn) {
		if f := nameless[d.ID]; f != nil {
			f.docker, f.engine, f.root, f.read = d.docker, d.engine, d.root, true
			continue
		}
		l.Found = append(l.Found, d)
	}
}
