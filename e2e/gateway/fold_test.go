package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shapebus/shapebus/e2e/logcheck"
	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

// foldOften has logs folded all the time, and what a fold replaces removed after a grace.
func foldOften(s *stack.Stack, grace time.Duration) {
	s.Consumer.FoldFactor, s.Consumer.FoldLeast, s.Consumer.FoldEvery, s.Consumer.FoldGrace = 0.1, 1, 20*time.Millisecond, grace
}

// fold has a shape's log folded, once.
func fold(t *testing.T, s *stack.Stack, sh *client.Shape) {
	t.Helper()
	number := func() uint64 {
		g, err := logcheck.Generation(t.Context(), s.JS, s.Source, sh.Info())
		if err != nil {
			t.Fatal(err)
		}
		if g == nil {
			return 0
		}
		return g.Number
	}
	from := number()
	if _, err := s.Client.Fold(t.Context(), sh.Handle()); err != nil {
		t.Fatal(err)
	}
	s.Until("the log is folded", func() (bool, error) { return number() > from, nil }, func() string { return "it is not" })
}

// messagesOf is how many messages a shape's log has.
func messagesOf(t *testing.T, s *stack.Stack, sh *client.Shape) uint64 {
	t.Helper()
	st, err := logcheck.Replay(t.Context(), s.JS, s.Source, sh.Info())
	if err != nil {
		t.Fatal(err)
	}
	return uint64(st.Messages)
}

// all reads a shape from the beginning to its end, and returns each answer by its URL.
func all(t *testing.T, r *reader) map[string]string {
	t.Helper()
	answers := map[string]string{}
	r.heard = func(query string, got reply) { answers[query] = string(got.body) }
	for !r.live {
		if err := r.step(t.Context()); err != nil && !errors.Is(err, errAgain) {
			t.Fatal(err)
		}
	}
	return answers
}

// parse reads a query.
func parse(t *testing.T, query string) url.Values {
	t.Helper()
	q, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// TestAFoldedLogOverHTTP folds the log of a shape that is read. Who reads along notices nothing, also when what stood before is removed; who begins
// gets the newest generation; a URL has one answer for ever, or none; and who kept a place that is gone begins again.
func TestAFoldedLogOverHTTP(t *testing.T) {
	s := stack.New(t, teams)
	s.Gateway.ChunkBytes, s.Gateway.LongPoll, s.Gateway.Stream = 3_000, time.Second, time.Second
	s.Consumer.FoldFactor, s.Consumer.FoldEvery, s.Consumer.FoldGrace = -1, 20*time.Millisecond, time.Hour // only when it is asked for
	s.StartIngest()
	stopConsumer := s.StartConsumer()
	one, _ := s.StartGateway()
	def, query := values("table", "members"), "SELECT id || '=' || v FROM members"
	following := map[string]*running{}
	var live []*reader
	for _, sse := range []bool{false, true} {
		r := newReader(one, def, sse)
		r.check = whole
		live = append(live, r)
		following[fmt.Sprint("SSE ", sse)] = run(t, fmt.Sprint("SSE ", sse), r)
	}
	sh := s.Create(client.Definition{Table: "members"})
	n := 0
	change := func() {
		for range 6 {
			n++
			s.Exec(fmt.Sprintf("UPDATE members SET v = 'v%d' || repeat('x', 50) WHERE team <> %d", n, n%6+1))
		}
		s.Verify(sh)
	}
	exact := func(when string) {
		t.Helper()
		want := selectIDs(t, s, query)
		for name, r := range following {
			var got []string
			s.Until(fmt.Sprintf("%s: %s is exact", when, name), func() (bool, error) {
				r.mu.Lock()
				defer r.mu.Unlock()
				got = texts(r.rows)
				return cmp.Equal(got, want), r.err
			}, func() string { return cmp.Diff(want, got) })
		}
	}
	begin := func(base string) (*reader, map[string]string) {
		t.Helper()
		r := newReader(base, def, false)
		answers := all(t, r)
		if diff := cmp.Diff(selectIDs(t, s, query), texts(r.rows)); diff != "" {
			t.Fatalf("a reader that begins: %s", diff)
		}
		return r, answers
	}
	change()
	exact("before any fold")
	first, before := begin(one)
	kept := *first // a client that goes on only much later
	if len(before) < 4 {
		t.Fatalf("there are only %d answers", len(before))
	}

	fold(t, s, sh)
	change()
	exact("after a fold")
	s.Gateway.Listener = nil
	two, _ := s.StartGateway()
	second, after := begin(two)
	if second.handle == first.handle || !strings.HasPrefix(second.handle, sh.Handle()) {
		t.Errorf("who begins has handle %s, and had %s", second.handle, first.handle)
	}
	for q, body := range before { // all is there during the grace, and two has never been asked for it
		if strings.Contains(q, "offset=-1") || strings.Contains(body, "up-to-date") {
			continue
		}
		if got := mustGet(t, two, parse(t, q)); got.status != http.StatusOK || string(got.body) != body {
			t.Errorf("%s is answered with %d\n%.300s\nafter a fold, and was\n%.300s", q, got.status, got.body, body)
		}
	}

	// The grace is over; another fold, and what it replaces goes too.
	stopConsumer()
	s.Consumer.FoldGrace = time.Millisecond
	s.StartConsumer()
	fold(t, s, sh)
	s.Until("the log is short", func() (bool, error) { return messagesOf(t, s, sh) <= 2, nil }, func() string { return fmt.Sprint(messagesOf(t, s, sh)) })
	change()
	exact("after what was folded is gone")
	for i, r := range live {
		if r.refetches > 0 {
			t.Errorf("reader %d, which read along, was told to begin again", i)
		}
	}
	s.Gateway.Listener = nil
	three, _ := s.StartGateway()
	third, _ := begin(three)
	for _, answers := range []map[string]string{before, after} {
		for q, body := range answers {
			if strings.Contains(q, "offset=-1") || strings.Contains(body, "up-to-date") {
				continue
			}
			for _, base := range []string{one, two, three} {
				got := mustGet(t, base, parse(t, q))
				gone := got.status == http.StatusConflict && got.header.Get("Electric-Handle") == third.handle
				if !gone && (got.status != http.StatusOK || string(got.body) != body) {
					t.Errorf("%s is answered with %d %v\n%.300s\nnow, and was\n%.300s", q, got.status, got.header, got.body, body)
				}
				if base == three && !gone {
					t.Errorf("%s is answered by who cannot know it", q)
				}
			}
		}
	}
	kept.base, kept.live = three, true
	for kept.upToDate == first.upToDate {
		if err := kept.step(t.Context()); err != nil && !errors.Is(err, errAgain) {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(selectIDs(t, s, query), texts(kept.rows)); diff != "" || kept.refetches != 1 || kept.handle != third.handle {
		t.Errorf("who kept a place that is gone began again %d times, and has handle %s: %s", kept.refetches, kept.handle, diff)
	}
}

// TestWhatAGenerationsRowsLackComesInChunks folds a log in which a commit stands that no snapshot sees yet. Who begins over HTTP has its rows too,
// in chunks that never change, before the first place that has an LSN.
func TestWhatAGenerationsRowsLackComesInChunks(t *testing.T) {
	server := pgtest.Own(t, map[string]string{"synchronous_standby_names": "nobody", "synchronous_commit": "local"})
	if err := server.CreateDatabase(t.Context(), "folds"); err != nil {
		t.Fatal(err)
	}
	s := stack.On(t, server.URL("folds"), teams)
	s.Gateway.ChunkBytes, s.Gateway.LongPoll = 1_000, time.Second
	s.Consumer.FoldFactor, s.Consumer.FoldEvery = -1, 20*time.Millisecond
	s.StartIngest()
	s.StartConsumer()
	sh := s.Create(client.Definition{Table: "members"})
	hung := s.Connect()
	pid := hung.PgConn().PID()
	done := make(chan error, 1)
	go func() {
		_, err := hung.PgConn().Exec(context.WithoutCancel(t.Context()),
			"SET synchronous_commit = on; INSERT INTO members SELECT i, 9, 'streamed, not visible' FROM generate_series(1001, 1030) i").ReadAll()
		done <- err
	}()
	s.Until("the commit waits for its standby", func() (bool, error) {
		var event string
		err := s.DB.QueryRow(t.Context(), "SELECT coalesce(wait_event, '') FROM pg_stat_activity WHERE pid = $1", pid).Scan(&event)
		return event == "SyncRep", err
	}, func() string { return "it does not" })
	s.Exec("UPDATE members SET v = 'later and visible' WHERE team = 2")
	s.Settle(sh)
	fold(t, s, sh)
	one, _ := s.StartGateway()
	s.Gateway.Listener = nil
	two, _ := s.StartGateway()
	r := newReader(one, values("table", "members"), false)
	r.check = whole
	answers := all(t, r)
	if len(r.rows) != 210 {
		t.Errorf("who begins has %d rows, want 180 and the 30 that no snapshot sees", len(r.rows))
	}
	chunks := 0
	for q, body := range answers {
		if strings.Contains(body, "not visible") {
			chunks++
			if at := parse(t, q).Get("offset"); !strings.HasPrefix(at, "0_") {
				t.Errorf("a change that is part of the beginning comes behind %s", at)
			}
		}
		if got := mustGet(t, two, parse(t, q)); string(got.body) != body {
			t.Errorf("%s is\n%.300s\nhere and\n%.300s\nthere", q, body, got.body)
		}
	}
	if chunks < 3 {
		t.Errorf("the changes came in %d answers", chunks)
	}
	s.Exec("SELECT pg_cancel_backend($1)", pid) // the commit stands; only the wait ends
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s.Exec("UPDATE members SET v = 'all' WHERE team = 9")
	for r.upToDate < 2 {
		if err := r.step(t.Context()); err != nil && !errors.Is(err, errAgain) {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(selectIDs(t, s, "SELECT id || '=' || v FROM members"), texts(r.rows)); diff != "" {
		t.Error(diff)
	}
}

// TestWhatAUnitDeferredComesBehindItsGeneration: a fold of a shape with a subquery ends with a unit, and a transaction that commits while that is
// open is in the log only. Its marker stands at index 0 of an LSN under which the transaction comes.
func TestWhatAUnitDeferredComesBehindItsGeneration(t *testing.T) {
	s := stack.New(t, teams)
	s.Consumer.FoldFactor, s.Consumer.FoldEvery, s.Consumer.FoldGrace = -1, 20*time.Millisecond, time.Hour // only when it is asked for
	var armed atomic.Bool
	s.Consumer.Failpoint = func(p failpoint.Point) {
		if p == failpoint.UnitOpen && armed.Swap(false) {
			s.Exec("UPDATE members SET v = 'deferred' WHERE id = (SELECT min(id) FROM members WHERE team IN (SELECT id FROM teams WHERE open))")
			s.Exec("DELETE FROM members WHERE id = (SELECT max(id) FROM members WHERE team IN (SELECT id FROM teams WHERE open))")
		}
	}
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	where := "team IN (SELECT id FROM teams WHERE open)"
	sh := s.Create(client.Definition{Table: "members", Where: where})
	s.Exec("UPDATE members SET v = 'before'")
	s.Verify(sh)
	armed.Store(true)
	fold(t, s, sh)
	if armed.Load() {
		t.Fatal("there was no unit")
	}
	s.Verify(sh)
	g, err := logcheck.Generation(t.Context(), s.JS, s.Source, sh.Info())
	if err != nil || g.Op != 0 {
		t.Fatalf("the generation's marker is at index %d (%v), so this shows nothing", g.Op, err)
	}
	for e, err := range sh.Subscribe(client.Beginning(), client.Options{}).Events(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if c, ok := e.(client.Commit); ok {
			if !c.Snapshot || c.Passed >= c.LSN {
				t.Errorf("a reader of the stream is told at %s that nothing up to %s is missing: %+v", c.Offset, c.Passed, c)
			}
			break
		}
	}
	base, _ := s.StartGateway()
	for _, sse := range []bool{false, true} {
		r := newReader(base, values("table", "members", "where", where), sse)
		all(t, r)
		if diff := cmp.Diff(selectIDs(t, s, "SELECT id || '=' || v FROM members WHERE "+where), texts(r.rows)); diff != "" {
			t.Errorf("SSE %t: %s", sse, diff)
		}
	}
}
