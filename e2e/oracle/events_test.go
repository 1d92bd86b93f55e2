package oracle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shapebus/shapebus/pkg/change"
)

// Event is something that happened in a run, for the person who looks into a fault.
type Event struct {
	At   time.Time
	LSN  change.LSN // where the WAL was; 0 in what services say of themselves
	Text string
}

// note says what happens, and keeps it for the recording.
func (w *world) note(format string, args ...any) {
	w.tb.Helper()
	e := Event{At: time.Now(), Text: fmt.Sprintf(format, args...)}
	ctx, cancel := context.WithTimeout(w.tb.Context(), 5*time.Second)
	defer cancel()
	var text string
	if w.db != nil && w.db.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&text) == nil {
		e.LSN, _ = change.ParseLSN(text) // 0 says that it is not known
	}
	w.events = append(w.events, e)
	w.tb.Logf("%.1fs %s", time.Since(w.began).Seconds(), e.Text)
}

// telling are the words of log lines that tell what a fault may come from.
var telling = []string{
	`"unit committed"`, `"base written"`, `"shape is live"`, `"shape ended"`, `value set`, `taken over`, `retried`, `"level":"WARN"`, `"level":"ERROR"`, `"shapes with subqueries wait"`,
}

// told adds what the services said of themselves to the events.
func (w *world) told() []Event {
	all := slices.Clone(w.events)
	for _, p := range w.procs {
		for line := range strings.Lines(p.Log.String()) {
			at, rest, ok := strings.Cut(strings.TrimPrefix(line, `{"time":"`), `",`)
			t, err := time.Parse(time.RFC3339Nano, at)
			if !ok || err != nil || !slices.ContainsFunc(telling, func(word string) bool { return strings.Contains(rest, word) }) {
				continue
			}
			all = append(all, Event{At: t, Text: p.Name + ": " + strings.TrimSpace(rest)})
		}
	}
	slices.SortStableFunc(all, func(a, b Event) int { return a.At.Compare(b.At) })
	return all
}

// around is what happened shortly before and after a place in the WAL. What
// concerns one of the handles is told from further away, what concerns the value
// sets of others not at all.
func (r *Recording) around(lsn change.LSN, handles ...string) string {
	from, to := time.Time{}, time.Time{}
	for _, e := range r.Events {
		switch {
		case e.LSN == 0:
		case e.LSN <= lsn:
			from = e.At
		case to.IsZero():
			to = e.At
		}
	}
	if to.IsZero() {
		to = from.Add(time.Second)
	}
	const before, after, most = 2 * time.Second, time.Second, 60
	var out []string
	for _, e := range r.Events {
		concerns := slices.ContainsFunc(handles, func(h string) bool { return strings.Contains(e.Text, h) })
		if !e.At.Before(to.Add(after)) {
			continue
		}
		if near := e.At.After(from.Add(-before)); concerns || near && !strings.Contains(e.Text, `"set":"`) {
			text := e.Text
			if len(text) > 300 {
				text = text[:300] + "…"
			}
			out = append(out, fmt.Sprintf("\t%s %s %s", e.At.Format("15:04:05.000"), e.LSN, text))
		}
	}
	if n := len(out) - most; n > 0 {
		out = append([]string{fmt.Sprintf("\t(%d before)", n)}, out[n:]...)
	}
	return strings.Join(out, "\n")
}
