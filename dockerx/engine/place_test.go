package engine

import "testing"

// TestSocketFileWaits: a look that a request did not wait for is not lost. Without it nobody
// knows whose the engine is, and its containers are called another's.
func TestSocketFileWaits(t *testing.T) {
	c := &Client{place: &place{}}
	begun := c.place.begin()
	asked := make(chan uint64)
	go func() {
		st, err := c.SocketFile()
		if err != nil {
			t.Error(err)
		}
		asked <- st.Ino
	}()
	select {
	case ino := <-asked:
		t.Fatalf("inode %d, before the look has come back", ino)
	default:
	}
	begun.stat.Ino = 7
	close(begun.done)
	if got := <-asked; got != 7 {
		t.Errorf("inode %d, want that of the look, 7", got)
	}
}
