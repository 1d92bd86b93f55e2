package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shapebus/shapebus/e2e/stack"
)

// running is a reader that goes on until the test ends.
type running struct {
	mu   sync.Mutex
	rows map[string]map[string]*string
	err  error
	seen int
}

// run follows a shape in a goroutine. Errors of the connection are what a gateway that stops makes.
func run(t *testing.T, name string, r *reader) *running {
	t.Helper()
	out := &running{}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	t.Cleanup(func() { cancel(); done.Wait() })
	r.shown = func() {
		out.mu.Lock()
		defer out.mu.Unlock()
		out.rows, out.seen = r.rows, r.upToDate
	}
	done.Go(func() {
		for ctx.Err() == nil {
			err := r.step(ctx)
			_, broken := errors.AsType[*url.Error](err)
			out.mu.Lock()
			if err != nil && !broken && !errors.Is(err, errAgain) && ctx.Err() == nil {
				out.err = fmt.Errorf("%s: %w", name, err)
				out.mu.Unlock()
				return
			}
			out.mu.Unlock()
			if err != nil {
				select {
				case <-ctx.Done():
				case <-time.After(50 * time.Millisecond):
				}
			}
		}
	})
	return out
}

// texts are rows as id=v.
func texts(rows map[string]map[string]*string) []string {
	out := make([]string, 0, len(rows))
	for _, row := range rows {
		v := "NULL"
		if row["v"] != nil {
			v = *row["v"]
		}
		out = append(out, *row["id"]+"="+v)
	}
	slices.Sort(out)
	return out
}

// In this table a transaction writes one value into all rows of a team, so a team in a shape has all its members, with one value.
const teams = `
CREATE TABLE teams (id int PRIMARY KEY, open boolean NOT NULL);
INSERT INTO teams SELECT i, i % 2 = 0 FROM generate_series(1, 6) i;
CREATE TABLE members (id int PRIMARY KEY, team int NOT NULL, v text);
INSERT INTO members SELECT i, i % 6 + 1, 'first' FROM generate_series(1, 180) i;`

const ofTeam = 30

// whole checks that each team is there as a whole, as one transaction left it.
func whole(rows map[string]map[string]*string) error {
	count, value := map[string]int{}, map[string]string{}
	for _, row := range rows {
		team, v := *row["team"], *row["v"]
		if old, ok := value[team]; ok && old != v {
			return fmt.Errorf("team %s has members of %s and of %s: half of a transaction", team, old, v)
		}
		value[team] = v
		count[team]++
	}
	for team, n := range count {
		if n != ofTeam {
			return fmt.Errorf("team %s has %d members: half of a transaction", team, n)
		}
	}
	return nil
}

// TestReadersNeverSeeHalfOfATransaction has readers that trust nothing follow plain shapes and one with a subquery, by long polls and by
// server-sent events, in answers that hold a part of a transaction, while transactions and units come and gateways go.
func TestReadersNeverSeeHalfOfATransaction(t *testing.T) {
	random := seeded(t)
	s := stack.Start(t, teams)
	s.Gateway.ChunkBytes, s.Gateway.LongPoll, s.Gateway.Stream, s.Gateway.WindowBytes = 4_000, 2*time.Second, 3*time.Second, 20_000
	base, stop := s.StartGateway()
	definitions := map[string]struct {
		def   url.Values
		query string
	}{
		"all":  {values("table", "members"), "SELECT id || '=' || v FROM members"},
		"open": {values("table", "members", "where", "team IN (SELECT id FROM teams WHERE open)"), "SELECT id || '=' || v FROM members WHERE team IN (SELECT id FROM teams WHERE open)"},
	}
	readers := map[string]*running{}
	of := map[string]string{}
	begin := func(round string) {
		for name, d := range definitions {
			for _, sse := range []bool{false, true} {
				r := newReader(base, d.def, sse)
				r.check = whole
				full := fmt.Sprintf("%s, SSE %v, %s", name, sse, round)
				readers[full], of[full] = run(t, full, r), name
			}
		}
	}
	begin("from the start")
	for round := range 3 {
		for i := range 15 {
			team := random.IntN(6) + 1
			s.Exec(fmt.Sprintf("UPDATE members SET v = 'r%d.%d' || repeat('x', %d) WHERE team = %d", round, i, random.IntN(400), team))
			if i%5 == 2 {
				s.Exec(fmt.Sprintf("BEGIN; UPDATE teams SET open = NOT open WHERE id = %d; UPDATE members SET v = 'u%d.%d' WHERE team = %d; COMMIT", random.IntN(6)+1, round, i, team))
			}
		}
		if round == 1 {
			stop()
			s.Exec("UPDATE members SET v = 'while nobody listened'")
			s.Gateway.Listener = listenAgain(t, base)
			_, stop = s.StartGateway()
			begin("from another gateway")
		}
		for _, name := range slices.Sorted(maps.Keys(readers)) {
			r := readers[name]
			want := selectIDs(t, s, definitions[of[name]].query)
			var got []string
			s.Until(fmt.Sprintf("round %d: %s is exact", round, name), func() (bool, error) {
				r.mu.Lock()
				defer r.mu.Unlock()
				got = texts(r.rows)
				if r.err != nil {
					t.Fatal(r.err)
				}
				return cmp.Equal(got, want), nil
			}, func() string { return fmt.Sprintf("%d rows, want %d", len(got), len(want)) })
		}
	}
}

// TestAnswersOfOnePlaceAreTheSameBytes reads a shape in pieces from two gateways, one of which has only begun: what is full must not differ.
func TestAnswersOfOnePlaceAreTheSameBytes(t *testing.T) {
	s := stack.Start(t, teams)
	s.Gateway.ChunkBytes, s.Gateway.LongPoll = 3_000, time.Second
	one, _ := s.StartGateway()
	r := newReader(one, values("table", "members", "where", "team IN (SELECT id FROM teams WHERE open)"), false)
	for !r.live {
		if err := r.step(t.Context()); err != nil && !errors.Is(err, errAgain) {
			t.Fatal(err)
		}
	}
	for i := range 8 {
		s.Exec(fmt.Sprintf("UPDATE members SET v = 'v%d'", i))
		s.Exec(fmt.Sprintf("UPDATE teams SET open = NOT open WHERE id = %d", i%6+1))
	}
	want := selectIDs(t, s, "SELECT id || '=' || v FROM members WHERE team IN (SELECT id FROM teams WHERE open)")
	for !cmp.Equal(texts(r.rows), want) {
		if err := r.step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.Gateway.Listener = nil
	two, _ := s.StartGateway()
	at, pieces := "-1", 0
	for {
		q := values("table", "members", "where", "team IN (SELECT id FROM teams WHERE open)", "offset", at, "handle", r.handle)
		a, b := mustGet(t, one, q), mustGet(t, two, q)
		if string(a.body) != string(b.body) || a.header.Get("Etag") != b.header.Get("Etag") {
			t.Fatalf("from %s on the gateways say\n%.400s\nand\n%.400s", at, a.body, b.body)
		}
		tag := a.header.Get("Etag")
		if again := mustGet(t, two, q, "If-None-Match", tag); again.status != 304 || len(again.body) != 0 || again.header.Get("Electric-Offset") == "" {
			t.Fatalf("what has not changed is answered with %d %v", again.status, again.header)
		}
		at = a.header.Get("Electric-Offset")
		if _, end := a.header["Electric-Up-To-Date"]; end {
			break
		}
		if n := len(a.body); n > 4_500 {
			t.Errorf("an answer has %d bytes", n)
		}
		pieces++
	}
	if pieces < 10 {
		t.Errorf("there were only %d pieces", pieces)
	}
}

// TestThoseWhoGoOnKeepNobodyFromBeginning: behind a restart of the gateway all come with a handle, and wait for long.
func TestThoseWhoGoOnKeepNobodyFromBeginning(t *testing.T) {
	s := stack.Start(t, items)
	one, _ := s.StartGateway()
	r := newReader(one, values("table", "items"), false)
	all(t, r)
	s.Gateway.MaxInitial, s.Gateway.LongPoll = 1, patience
	// waits has somebody go on at a gateway that has just begun, and reports whether it is the first to come there.
	waits := func() (first bool) {
		s.Gateway.Listener = nil
		two, stop := s.StartGateway()
		defer stop()
		waiting, cancel := context.WithCancel(t.Context())
		defer cancel()
		wrote := make(chan struct{})
		waiting = httptrace.WithClientTrace(waiting, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { close(wrote) }})
		answered := make(chan error, 1)
		go func() {
			got, err := get(waiting, two, values("table", "items", "handle", r.handle, "offset", r.offset, "live", "true"))
			answered <- fmt.Errorf("status %d: %w", got.status, err)
		}()
		<-wrote
		where := values("table", "items", "handle", r.handle, "offset", "now")
		s.Until("the shape is known", func() (bool, error) { return mustGet(t, two, where).status == http.StatusOK, nil }, func() string { return "it is not" })
		var last reply
		s.Until("somebody else begins", func() (bool, error) {
			last = mustGet(t, two, values("table", "items", "where", "owner = 'ann'", "offset", "-1"))
			return last.status == http.StatusOK, nil
		}, func() string { return string(last.body) })
		cancel()
		return errors.Is(<-answered, context.Canceled) // else it was refused, as another request was before it
	}
	for range 20 {
		if waits() {
			return
		}
	}
	t.Error("who goes on is never the first to come")
}
