package doctor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"dx/dockerx/host"
)

func ofShim(c container) string {
	return fmt.Sprintf("the shim of %s (pid %d)", c.Name, c.shim.Shim.PID)
}

func (p *Examination) checkShim(c container) func(context.Context) []Finding {
	return func(context.Context) []Finding {
		out := checkProcess(c.shim.Shim, shimRole, ofShim(c))
		for i := range out {
			out[i] = out[i].of(c)
		}
		return out
	}
}

// askShim asks the shim of a container for the container's state, as containerd would.
func (p *Examination) askShim(c container) func(context.Context) []Finding {
	return func(ctx context.Context) []Finding { return p.askShimOf(ctx, c, ofShim(c)) }
}

func (p *Examination) askShimOf(ctx context.Context, c container, subject string) []Finding {
	if c.shim.Address == "" {
		return []Finding{found(info, "%s does not say where it listens", subject).of(c)}
	}
	f, err := host.OpenPath(c.shim.Shim, c.shim.Address)
	if err != nil {
		return shimGone(err, c, subject)
	}
	defer f.Close()
	begin := time.Now()
	err = p.patiently(ctx, c.shim.Shim, p.o.Timeout, func(ctx context.Context) error { return stateBy(ctx, f, c.ID) })
	switch {
	case err == nil || c.shim.Shim.Alive() != nil:
		return nil
	case errors.Is(err, unix.EAGAIN):
		return []Finding{found(shimSilent, "%s takes no more connections", subject).of(c).pid(c.shim.Shim.PID).evidence(err.Error())}
	case errors.Is(err, errConnect):
		return shimGone(err, c, subject)
	}
	return []Finding{found(shimSilent, "%s does not answer", subject).of(c).pid(c.shim.Shim.PID).
		evidence(fmt.Sprintf("Task/State: no answer in %v: %v", time.Since(begin).Round(10*time.Millisecond), err))}
}

var errConnect = errors.New("no connection")

// stateBy asks the shim that listens on a socket.
func stateBy(ctx context.Context, socket *os.File, id string) error {
	conn, err := connectFile(socket)
	if err != nil {
		return fmt.Errorf("%w: %w", errConnect, err)
	}
	defer conn.Close()
	if d, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(d)
	}
	return askState(conn, id)
}

func shimGone(err error, c container, subject string) []Finding {
	switch {
	case c.shim.Shim.Alive() != nil:
		return nil // it has just ended, with its container
	case isPermission(err):
		return []Finding{found(unchecked, "%s was not asked: %v", subject, err).of(c)}
	}
	return []Finding{found(shimRefuses, "nobody listens on the socket of %s", subject).of(c).pid(c.shim.Shim.PID).
		path(c.shim.Address).evidence(err.Error())}
}

func isPermission(err error) bool { return errors.Is(err, fs.ErrPermission) }

// From containerd's ttrpc, PROTOCOL.md: a header of length, stream, type and flags,
// then a protobuf message.
const (
	ttrpcHeader   = 10
	ttrpcRequest  = 1
	ttrpcResponse = 2
	ttrpcMax      = 4 << 20
)

// askState asks a shim for the state of its task. Any response will do, also that
// it does not know the service (a shim of another API version).
func askState(rw io.ReadWriter, id string) error {
	payload := appendField(nil, 1, []byte(id)) // StateRequest.id
	body := appendField(nil, 1, []byte("containerd.task.v2.Task"))
	body = appendField(body, 2, []byte("State"))
	body = appendField(body, 3, payload)
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	b = binary.BigEndian.AppendUint32(b, 1)
	b = append(b, ttrpcRequest, 0)
	if _, err := rw.Write(append(b, body...)); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	head := make([]byte, ttrpcHeader)
	if _, err := io.ReadFull(rw, head); err != nil {
		return err
	}
	if size := binary.BigEndian.Uint32(head); size > ttrpcMax || head[8] != ttrpcResponse {
		return fmt.Errorf("the answer is no ttrpc: % x", head)
	}
	return nil
}

// appendField appends a length-delimited field of protobuf.
func appendField(b []byte, field int, value []byte) []byte {
	b = append(b, byte(field<<3|2))
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}
