package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patience bounds every wait.
const patience = 60 * time.Second

// message is one element of an answer.
type message struct {
	Key     string             `json:"key"`
	Value   map[string]*string `json:"value"`
	Headers struct {
		Operation  string   `json:"operation"`
		Relation   []string `json:"relation"`
		Control    string   `json:"control"`
		TxIDs      []int64  `json:"txids"`
		LSN        string   `json:"lsn"`
		OpPosition *uint64  `json:"op_position"`
		Last       bool     `json:"last"`
		Seen       string   `json:"global_last_seen_lsn"`
		Xmin       string   `json:"xmin"`
		Xmax       string   `json:"xmax"`
		XipList    []string `json:"xip_list"`
	} `json:"headers"`
}

// reply is an answer as it came.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) messages(tb testing.TB) []message {
	tb.Helper()
	var out []message
	if err := json.Unmarshal(r.body, &out); err != nil {
		tb.Fatalf("status %d, body %.300q: %v", r.status, r.body, err)
	}
	return out
}

// get asks once.
func get(ctx context.Context, base string, q url.Values, header ...string) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/shape?"+q.Encode(), http.NoBody)
	if err != nil {
		return reply{}, err
	}
	return do(req, header...)
}

func do(req *http.Request, header ...string) (reply, error) {
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, body}, err
}

func mustGet(tb testing.TB, base string, q url.Values, header ...string) reply {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	r, err := get(ctx, base, q, header...)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// values makes a query of names and values.
func values(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return q
}

// reader follows a shape as the protocol says, and holds its rows as they were at the last up-to-date message. It is for one
// goroutine.
type reader struct {
	base string
	def  url.Values
	sse  bool

	handle, offset, cursor string
	live                   bool
	staged                 map[string]map[string]*string                  // as of everything read
	rows                   map[string]map[string]*string                  // as of the last up-to-date message
	last                   string                                         // offset of the last change, to see that they rise
	lsn                    uint64                                         // of the last up-to-date message
	check                  func(rows map[string]map[string]*string) error // of the rows at each up-to-date message; nil for none
	shown                  func()                                         // called when rows are others; nil for nobody
	heard                  func(query string, got reply)                  // called with each answer that is no stream; nil for nobody
	refetches              int
	requests               int
	upToDate               int
}

func newReader(base string, def url.Values, sse bool) *reader {
	return &reader{base: base, def: def, sse: sse, offset: "-1", staged: map[string]map[string]*string{}}
}

// step makes one request, and returns an error for what a client may not be told.
func (r *reader) step(ctx context.Context) error {
	q := url.Values{}
	maps.Copy(q, r.def)
	q.Set("offset", r.offset)
	if r.handle != "" {
		q.Set("handle", r.handle)
	}
	if r.live {
		q.Set("live", "true")
		q.Set("cursor", r.cursor)
		if r.sse {
			q.Set("live_sse", "true")
			return r.stream(ctx, q)
		}
	}
	r.requests++
	got, err := get(ctx, r.base, q)
	if err != nil {
		return err
	}
	if done, err := r.status(got.status, got.header, got.body); done || err != nil {
		return err
	}
	if r.heard != nil {
		r.heard(q.Encode(), got)
	}
	var messages []message
	if err := json.Unmarshal(got.body, &messages); err != nil {
		return fmt.Errorf("%.200q: %w", got.body, err)
	}
	for i := range messages {
		if err := r.apply(&messages[i]); err != nil {
			return fmt.Errorf("%s of %d: %w", r.offset, len(messages), err)
		}
		if messages[i].Headers.Control == "up-to-date" && i != len(messages)-1 {
			return fmt.Errorf("up-to-date stands before the end")
		}
	}
	next := got.header.Get("Electric-Offset")
	_, ends := got.header["Electric-Up-To-Date"]
	if !ends && next == r.offset {
		return fmt.Errorf("not up to date and still at %s", next)
	}
	r.handle, r.offset, r.cursor = got.header.Get("Electric-Handle"), next, got.header.Get("Electric-Cursor")
	if r.handle == "" || r.offset == "" || r.live && r.cursor == "" || !r.live && got.header.Get("Electric-Schema") == "" {
		return fmt.Errorf("a header is missing: %v", got.header)
	}
	r.live = ends
	return nil
}

// status sees to answers that are none. done says that there is nothing to read.
func (r *reader) status(status int, h http.Header, body []byte) (done bool, err error) {
	switch status {
	case http.StatusOK:
		return false, nil
	case http.StatusConflict:
		if !bytes.Equal(body, []byte(`[{"headers":{"control":"must-refetch"}}]`)) {
			return true, fmt.Errorf("409 with %q", body)
		}
		if next := h.Get("Electric-Handle"); next != "" && next == r.handle {
			return true, fmt.Errorf("409 with the handle %s that was asked for", next)
		}
		r.refetches++
		r.handle, r.offset, r.live, r.last = h.Get("Electric-Handle"), "-1", false, ""
		r.staged = map[string]map[string]*string{}
		return true, nil
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		if h.Get("Retry-After") == "" {
			return true, fmt.Errorf("status %d without Retry-After", status)
		}
		return true, errAgain
	}
	return true, fmt.Errorf("status %d: %.300q", status, body)
}

var errAgain = fmt.Errorf("asked to come again")

// stream reads server-sent events until the stream ends or ctx does.
func (r *reader) stream(ctx context.Context, q url.Values) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+"/v1/shape?"+q.Encode(), http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		_, err = r.status(resp.StatusCode, resp.Header, body)
		return err
	}
	r.cursor = resp.Header.Get("Electric-Cursor")
	// What was not said to be complete when the stream ends comes again.
	complete, last := maps.Clone(r.staged), r.last
	defer func() { r.staged, r.last = complete, last }()
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return nil // the end of a stream is no error
		}
		text, ok := strings.CutPrefix(strings.TrimSpace(line), "data: ")
		if !ok {
			continue
		}
		var m message
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			return fmt.Errorf("%q: %w", text, err)
		}
		if err := r.apply(&m); err != nil {
			return err
		}
		if m.Headers.Control == "up-to-date" {
			r.offset = m.Headers.Seen + "_0"
			complete, last = maps.Clone(r.staged), r.last
		}
	}
}

func (r *reader) apply(m *message) error {
	switch m.Headers.Control {
	case "up-to-date":
		r.rows = make(map[string]map[string]*string, len(r.staged))
		maps.Copy(r.rows, r.staged)
		lsn, err := strconv.ParseUint(m.Headers.Seen, 10, 64)
		if err != nil {
			return err
		}
		r.lsn = lsn
		r.upToDate++
		if r.shown != nil {
			r.shown()
		}
		if r.check != nil {
			return r.check(r.rows)
		}
		return nil
	case "snapshot-end":
		return nil
	case "":
	default:
		return fmt.Errorf("control message %q", m.Headers.Control)
	}
	if m.Headers.LSN != "" {
		at := fmt.Sprintf("%020s_%020d", m.Headers.LSN, *m.Headers.OpPosition)
		if at <= r.last {
			return fmt.Errorf("change at %s behind the one at %s", at, r.last)
		}
		r.last = at
	}
	switch m.Headers.Operation {
	case "insert":
		r.staged[m.Key] = m.Value
	case "update":
		old, ok := r.staged[m.Key]
		if !ok {
			return fmt.Errorf("update of %s, which is not there", m.Key)
		}
		row := make(map[string]*string, len(old))
		maps.Copy(row, old)
		maps.Copy(row, m.Value)
		r.staged[m.Key] = row
	case "delete":
		delete(r.staged, m.Key)
	default:
		return fmt.Errorf("operation %q", m.Headers.Operation)
	}
	return nil
}
