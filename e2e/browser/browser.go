// Package browser drives a headless Chromium for tests of pages. It speaks the
// DevTools protocol over two pipes (--remote-debugging-pipe: messages of JSON, each
// ended by a zero byte), so that no port is opened. What a page should do does not
// belong here.
package browser

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds how long Chromium may take for one answer.
const patience = 60 * time.Second

// Page is one page of a browser of its own, which ends with the test.
type Page struct {
	t       testing.TB
	to      *os.File
	from    chan message
	session string
	id      int
	// Complaints are the errors that the page has logged or thrown, and what its
	// policy has blocked.
	Complaints []string
}

type message struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// Open starts a browser and opens a file in it, in a window of that size.
func Open(t testing.TB, file string, width, height int) *Page {
	t.Helper()
	p := &Page{t: t, from: make(chan message, 1024)}
	p.start(width, height)
	var target struct{ TargetID string }
	p.Call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	p.Call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	p.session = attached.SessionID
	for _, domain := range []string{"Page.enable", "Runtime.enable", "Log.enable", "Network.enable"} {
		p.Call(domain, nil, nil)
	}
	p.Call("Page.navigate", map[string]any{"url": "file://" + file}, nil)
	p.Wait("document.readyState === 'complete' && location.href.startsWith('file:')")
	return p
}

func (p *Page) start(width, height int) {
	p.t.Helper()
	theirIn, to, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	from, theirOut, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	profile := p.t.TempDir()
	cmd := exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--disable-background-networking", "--disable-component-update", "--disable-breakpad", "--no-first-run",
		"--hide-scrollbars", "--remote-debugging-pipe", "--user-data-dir="+profile,
		fmt.Sprintf("--window-size=%d,%d", width, height))
	cmd.Env = append(os.Environ(), "HOME="+profile)
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // descriptors 3 and 4
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	theirIn.Close()
	theirOut.Close()
	p.to = to
	go p.read(from)
	p.t.Cleanup(func() { p.end(cmd) })
}

func (p *Page) read(from *os.File) {
	defer from.Close()
	defer close(p.from)
	r := bufio.NewReader(from)
	for {
		text, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(text[:len(text)-1], &m) == nil {
			p.from <- m
		}
	}
}

// end lets Chromium end by itself, so that it ends its helpers, and then makes sure.
func (p *Page) end(cmd *exec.Cmd) {
	p.session = ""
	p.send("Browser.close", nil)
	p.to.Close()
	done := make(chan struct{})
	go func() {
		for range p.from {
		}
		cmd.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience):
	}
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	<-done
}

func (p *Page) send(method string, params map[string]any) int {
	p.id++
	m := map[string]any{"id": p.id, "method": method}
	if params != nil {
		m["params"] = params
	}
	if p.session != "" {
		m["sessionId"] = p.session
	}
	text, err := json.Marshal(m)
	if err == nil {
		_, err = p.to.Write(append(text, 0))
	}
	if err != nil {
		p.t.Errorf("%s: %v", method, err)
	}
	return p.id
}

// Call calls a method of the DevTools protocol.
func (p *Page) Call(method string, params map[string]any, result any) {
	p.t.Helper()
	id := p.send(method, params)
	deadline := time.After(patience)
	for {
		select {
		case m, ok := <-p.from:
			switch {
			case !ok:
				p.t.Fatalf("%s: Chromium has ended", method)
			case m.ID != id:
				p.note(m)
				continue
			case m.Error != nil:
				p.t.Fatalf("%s: %s", method, m.Error.Message)
			}
			if result != nil {
				if err := json.Unmarshal(m.Result, result); err != nil {
					p.t.Fatalf("%s: %v in %s", method, err, m.Result)
				}
			}
			return
		case <-deadline:
			p.t.Fatalf("%s: no answer within %v", method, patience)
		}
	}
}

// note keeps what a page complains of, and what it would load.
func (p *Page) note(m message) {
	text := string(m.Params)
	switch m.Method {
	case "Runtime.exceptionThrown", "Log.entryAdded":
		p.Complaints = append(p.Complaints, text)
	case "Runtime.consoleAPICalled":
		if strings.Contains(text, `"type":"error"`) || strings.Contains(text, `"type":"assert"`) {
			p.Complaints = append(p.Complaints, text)
		}
	case "Network.requestWillBeSent":
		if !strings.Contains(text, `"type":"Document"`) {
			p.Complaints = append(p.Complaints, "the page loads "+text)
		}
	}
}

// Eval is the value of an expression in the page.
func Eval[T any](p *Page, expression string) T {
	p.t.Helper()
	var answer struct {
		Result struct{ Value json.RawMessage }
		// Of an expression that throws.
		ExceptionDetails json.RawMessage
	}
	p.Call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &answer)
	if answer.ExceptionDetails != nil {
		p.t.Fatalf("%s: %s", expression, answer.ExceptionDetails)
	}
	var value T
	if err := json.Unmarshal(answer.Result.Value, &value); err != nil {
		p.t.Fatalf("%s: %v in %s", expression, err, answer.Result.Value)
	}
	return value
}

// Wait waits until an expression holds.
func (p *Page) Wait(expression string) {
	p.t.Helper()
	for end := time.Now().Add(patience); !Eval[bool](p, expression); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("%s does not come true within %v", expression, patience)
		}
	}
}

// Type types a text as a keyboard does.
func (p *Page) Type(text string) {
	p.t.Helper()
	p.Call("Input.insertText", map[string]any{"text": text}, nil)
}

// Press presses a key by its name: Escape, ArrowRight, Tab, "/".
func (p *Page) Press(key string) {
	p.t.Helper()
	codes := map[string]int{"Tab": 9, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Enter": 13, "/": 191}
	for _, kind := range []string{"rawKeyDown", "keyUp"} {
		p.Call("Input.dispatchKeyEvent", map[string]any{"type": kind, "key": key, "windowsVirtualKeyCode": codes[key]}, nil)
	}
}

// Point moves the pointer to the middle of the element that an expression gives.
func (p *Page) Point(element string) {
	p.t.Helper()
	at := p.middle(element)
	p.Call("Input.dispatchMouseEvent", map[string]any{"type": "mouseMoved", "x": at[0], "y": at[1]}, nil)
}

// Click clicks on it.
func (p *Page) Click(element string) {
	p.t.Helper()
	at := p.middle(element)
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		p.Call("Input.dispatchMouseEvent", map[string]any{"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1}, nil)
	}
}

func (p *Page) middle(element string) []float64 {
	p.t.Helper()
	return Eval[[]float64](p, `(e => { e.scrollIntoView({block: "center"}); const r = e.getBoundingClientRect(); return [r.left + r.width/2, r.top + r.height/2]; })(`+element+`)`)
}

// Dark sets the scheme that the page is to follow.
func (p *Page) Dark(dark bool) {
	p.t.Helper()
	value := map[bool]string{true: "dark", false: "light"}[dark]
	p.Call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": value}}}, nil)
}

// Screenshot is a PNG of the window, for people.
func (p *Page) Screenshot() []byte {
	p.t.Helper()
	var shot struct{ Data []byte }
	p.Call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	return shot.Data
}
