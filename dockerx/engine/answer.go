package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Bounds of what an engine may send, so that a mad one cannot fill the memory before
// the deadline. An inspect's answer has some 10 KiB; that of a container whose arguments
// and environment are as long as a kernel takes them is refused.
const (
	maxAnswer  = 64 << 20 // of a list, of which no more than a part is held at a time
	maxInspect = 2 << 20
	maxVersion = 256 << 10
	maxError   = 64 << 10
	maxHeader  = 64 << 10
)

// bounded is the body of an answer. It fails once too much has come.
type bounded struct {
	r           io.Reader
	whole, left int
	part        int // left of one part of the answer
}

func newBounded(r io.Reader, limit int) *bounded {
	return &bounded{r: r, whole: limit, left: limit, part: limit}
}

// Read is io.Reader's.
func (b *bounded) Read(to []byte) (int, error) {
	if b.left <= 0 {
		return 0, &tooLargeError{"the answer", b.whole}
	}
	if b.part <= 0 {
		return 0, &tooLargeError{"one container's part of the answer", maxEntry}
	}
	n, err := b.r.Read(to[:min(len(to), b.left, b.part)])
	b.left -= n
	b.part -= n
	return n, err
}

type tooLargeError struct {
	what  string
	bytes int
}

func (e *tooLargeError) Error() string {
	if e.bytes < 1<<20 {
		return fmt.Sprintf("%s is larger than %d KiB", e.what, e.bytes>>10)
	}
	return fmt.Sprintf("%s is larger than %d MiB", e.what, e.bytes>>20)
}

// get sends one request and has the body of its answer read. What is no 200 is
// ErrNotFound, or ErrRefused in the words of docker's client.
func (c *Client) get(ctx context.Context, path string, limit int, read func(*bounded) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return err
	}
	resp, err := c.api.HTTPClient().Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return read(newBounded(resp.Body, limit))
	case http.StatusNotFound:
		return ErrNotFound
	}
	body, err := io.ReadAll(newBounded(resp.Body, maxError))
	if err != nil {
		return err
	}
	var said struct{ Message string }
	if json.Unmarshal(body, &said) != nil || said.Message == "" {
		said.Message = resp.Status
	}
	return fmt.Errorf("%w: Error response from daemon: %s", ErrRefused, said.Message)
}

// getAll returns the body.
func (c *Client) getAll(ctx context.Context, path string, limit int) (body []byte, err error) {
	err = c.get(ctx, path, limit, func(r *bounded) error {
		body, err = io.ReadAll(r)
		return err
	})
	return body, err
}

// unending reports whether an engine sent more than is read. The deadline may have
// come meanwhile, and is not the reason.
func unending(err error) bool {
	var e *tooLargeError
	return errors.As(err, &e)
}
