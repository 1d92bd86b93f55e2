package pgtemp

import (
	"io"
	"strings"
	"sync"
)

// tail keeps the end of a log for error messages and passes everything on to another writer.
type tail struct {
	mu   sync.Mutex
	buf  []byte
	next io.Writer // may be nil
}

const tailBytes = 4 << 10

// Write never fails: a full or closed log of the caller must not stop the server.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - tailBytes; over > 0 {
		t.buf = t.buf[:copy(t.buf, t.buf[over:])]
	}
	if t.next != nil {
		if _, err := t.next.Write(p); err != nil {
			t.next = nil
		}
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.buf))
}
