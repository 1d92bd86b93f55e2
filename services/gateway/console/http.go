package console

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"time"

	"github.com/shapebus/shapebus/internal/strict"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// policy lets a page load what comes with it, and nothing else: no text from a table can become a
// script, a style or a request.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// protect sets what every answer has.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
	h.Set("Cache-Control", "no-store")
}

// foreign reports whether a browser says that a page of another site asks. Opening the console by a
// link is no harm.
func foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return false
	}
	return r.Header.Get("Sec-Fetch-Mode") != "navigate"
}

// Bounds of one request and its answer.
const (
	maxBody     = 256 << 10
	writeWithin = 15 * time.Second
	readWithin  = 10 * time.Second
)

// read takes the body of a request apart; what is wrong with it is answered.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		fail(w, http.StatusUnsupportedMediaType, "The body must be JSON.")
		return false
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(readWithin)) // where that cannot be done, the server's own bounds hold
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		fail(w, http.StatusRequestEntityTooLarge, "The body is too large.")
		return false
	}
	if err != nil {
		fail(w, http.StatusBadRequest, "The body is not what is expected here: "+strict.Brief(err.Error())+".")
		return false
	}
	return true
}

// answer sends JSON. Characters of HTML are escaped in it, so that it is harmless also where it is
// taken for a page.
func answer(w http.ResponseWriter, v any) { send(w, http.StatusOK, v) }

func send(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"error":"The answer cannot be written as JSON."}`)
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeWithin))
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(data) // who has gone needs no answer
}

func fail(w http.ResponseWriter, status int, text string) {
	send(w, status, map[string]string{"error": text})
}

// refuse answers with what the control plane, or the way to it, says.
func refuse(w http.ResponseWriter, err error) {
	status, text := http.StatusServiceUnavailable, err.Error()
	if said, ok := errors.AsType[*client.RequestError](err); ok {
		text = said.Text
		switch said.Code {
		case control.CodeBadRequest:
			status = http.StatusBadRequest
		case control.CodeForbidden:
			status = http.StatusForbidden
		case control.CodeNotFound:
			status = http.StatusNotFound
		case control.CodeConflict:
			status = http.StatusConflict
		case control.CodeTooLarge:
			status = http.StatusRequestEntityTooLarge
		case control.CodeQuota:
			status = http.StatusTooManyRequests
		}
	}
	fail(w, status, text)
}
