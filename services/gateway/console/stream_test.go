package console

import (
	"errors"
	"net/http/httptest"
	"testing"
	"time"
)

// writer notes until when it must be done.
type writer struct {
	*httptest.ResponseRecorder

	until   time.Time
	unbound bool
}

func (w *writer) SetWriteDeadline(t time.Time) error {
	w.until = t
	return nil
}

func (w *writer) Write(p []byte) (int, error) {
	if w.until.IsZero() {
		w.unbound = true
		return 0, errors.New("nothing bounds how long this takes")
	}
	return w.ResponseRecorder.Write(p)
}

// A page has some time to take what it is told, and nothing ends its stream while there is nothing to tell.
func TestAStreamIsBoundWhileItIsWritten(t *testing.T) {
	w := &writer{ResponseRecorder: httptest.NewRecorder()}
	s := &stream{w: w}
	if !s.send("pulse", map[string]int{"a": 1}) || w.unbound {
		t.Error("it is written without a bound")
	}
	if !w.until.IsZero() {
		t.Error("behind it, the bound goes on")
	}
	if got := w.Body.String(); got != "event: pulse\ndata: {\"a\":1}\n\n" {
		t.Errorf("%q is written", got)
	}
}
