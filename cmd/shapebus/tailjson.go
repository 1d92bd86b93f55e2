package main

import (
	"bufio"
	"encoding/json"
	"time"

	"github.com/shapebus/shapebus/pkg/client"
)

// jsonPrinter prints every event as a JSON object on a line of its own.
type jsonPrinter struct{ w *bufio.Writer }

// jsonEvent is the form of all events; what does not apply is left out.
type jsonEvent struct {
	Type     string  `json:"type"` // begin, insert, update, delete, truncate, upsert, discard, commit, abort, caught_up
	Offset   string  `json:"offset,omitempty"`
	Position string  `json:"position,omitempty"` // of a commit: for --from
	LSN      string  `json:"lsn,omitempty"`
	XID      uint64  `json:"xid,omitempty"`
	Time     string  `json:"time,omitempty"` // RFC 3339
	Snapshot bool    `json:"snapshot,omitempty"`
	Unit     bool    `json:"unit,omitempty"`
	Row      any     `json:"row,omitempty"`
	Changes  *uint64 `json:"changes,omitempty"`
}

func (p *jsonPrinter) end() {}

func (p *jsonPrinter) print(e client.Event) error {
	switch e := e.(type) {
	case client.Begin:
		return p.line(jsonEvent{Type: "begin", LSN: e.LSN.String(), XID: uint64(e.XID), Time: timeText(e.Time), Snapshot: e.Snapshot, Unit: e.Unit})
	case client.Change:
		j := jsonEvent{Type: e.Kind.String(), Offset: e.Offset.String()}
		if e.Row.Len() > 0 {
			j.Row = e.Row
		}
		return p.line(j)
	case client.Commit:
		err := p.line(jsonEvent{Type: "commit", Offset: e.Offset.String(), Position: e.Position().String(), LSN: e.LSN.String(), XID: uint64(e.XID), Time: timeText(e.Time), Snapshot: e.Snapshot, Unit: e.Unit, Changes: &e.Changes})
		if err != nil {
			return err
		}
	case client.Abort:
		if err := p.line(jsonEvent{Type: "abort", Offset: e.Offset.String()}); err != nil {
			return err
		}
	case client.CaughtUp:
		if err := p.line(jsonEvent{Type: "caught_up", Offset: e.Offset.String()}); err != nil {
			return err
		}
	}
	return p.w.Flush()
}

func (p *jsonPrinter) line(e jsonEvent) error {
	enc := json.NewEncoder(p.w)
	enc.SetEscapeHTML(false)
	return enc.Encode(e)
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
