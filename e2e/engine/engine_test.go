package engine

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

var suite Suite

func TestMain(m *testing.M) { os.Exit(suite.Main(m)) }

func TestUsernsRemap(t *testing.T) {
	e := suite.Start(t, Options{UsernsRemap: true})
	c := e.Run(t, Busybox)
	uidMap := e.MustDocker(t, "exec", c.Name, "cat", "/proc/self/uid_map").Stdout
	if f := strings.Fields(uidMap); len(f) != 3 || f[1] != strconv.Itoa(RemapBase) {
		t.Errorf("uid_map is %q", uidMap)
	}
}

func TestLiveRestore(t *testing.T) {
	e := suite.Start(t, Options{Args: []string{"--live-restore"}})
	c := e.Run(t, Busybox)
	if err := e.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(c.PID, 0); err != nil {
		t.Errorf("the container ended with its engine: %v", err)
	}
	if err := e.Boot(); err != nil {
		t.Fatal(err)
	}
	if pid := e.pidOf(t, c.Name); pid != c.PID {
		t.Errorf("after the restart pid %d, before %d", pid, c.PID)
	}
}
