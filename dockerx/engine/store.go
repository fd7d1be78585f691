package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"dx/nsops/callerfile"
)

// store is a directory of docker's configuration.
type store struct {
	dir string
	of  caller
}

// caller is the user who called sudo; the zero one: the directory is of dx's own user.
type caller struct {
	uid  uint32
	name string
}

// stores are the directories that count, the first one first.
type stores []store

// storesOf are that of dx's own user, and behind sudo that of the user who called it: who
// has chosen a context means it with sudo too. DOCKER_CONFIG names the only one.
func storesOf(getenv func(string) string, euid int) stores {
	dir := getenv("DOCKER_CONFIG")
	if dir != "" {
		return stores{{dir: dir}}
	}
	home := getenv("HOME")
	if home == "" {
		home, _ = os.UserHomeDir() // as docker: no home, no config file
	}
	s := stores{{dir: filepath.Join(home, ".docker")}}
	theirs, ok := callersStore(getenv, euid)
	switch {
	case !ok:
	case theirs.dir == s[0].dir: // sudo -E, or one that keeps HOME
		s[0] = theirs
	default:
		s = append(s, theirs)
	}
	return s
}

// callersStore is the directory of who called sudo.
func callersStore(getenv func(string) string, euid int) (store, bool) {
	text := getenv("SUDO_UID")
	uid, err := strconv.ParseUint(text, 10, 32)
	if euid != 0 || err != nil || uid == 0 {
		return store{}, false
	}
	home := getenv("SUDO_HOME") // sudo from 1.9.16 on
	if home == "" {
		u, err := user.LookupId(text)
		if err != nil {
			return store{}, false
		}
		home = u.HomeDir
	}
	name := getenv("SUDO_USER")
	if name == "" {
		name = "uid " + text
	}
	return store{filepath.Join(home, ".docker"), caller{uint32(uid), name}}, true
}

// read reads a file. Of who called sudo only files that are his own count: dx's rights
// lead further than his, and a link in his directory may lead anywhere.
func (s store) read(path string) ([]byte, error) {
	if s.of == (caller{}) {
		return callerfile.Read(path, maxConfig)
	}
	b, err := callerfile.ReadOf(s.of.uid, path, maxConfig)
	var owner *callerfile.OwnerError
	if errors.As(err, &owner) {
		return nil, fmt.Errorf("%w, who called sudo: it is left aside", err)
	}
	return b, err
}

// context finds a context by its name in the first directory that has one.
func (s stores) context(name string) (Address, error) {
	var first error
	for _, store := range s {
		a, err := store.context(name)
		if !errors.Is(err, fs.ErrNotExist) {
			return a, err
		}
		if first == nil {
			first = err
		}
	}
	return Address{}, first
}

// current is what `docker context use` chose, else docker's default.
func (s stores) current() (Address, error) {
	for _, store := range s {
		cfg, _ := store.config()
		switch cfg.CurrentContext {
		case "":
		case "default":
			return Address{Host: defaultHost, Origin: byDefault}, nil
		default:
			return store.context(cfg.CurrentContext)
		}
	}
	return Address{Host: defaultHost, Origin: byDefault}, nil
}
