package gateway

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/e2e/stack"
)

// stamped are shapes that all have the row 0, into which each transaction writes its number: so the rows of a reader tell which
// transaction they claim to be as of.
var stamped = map[string]url.Values{
	"all":     values("table", "members"),
	"columns": values("table", "members", "columns", "v,id"),
	"texts":   values("table", "members", "where", "id = 0 OR v LIKE $1", "params[1]", "%a%"),
	"open":    values("table", "members", "where", "id = 0 OR team IN (SELECT id FROM teams WHERE open)"),
	"closed":  values("table", "members", "where", "id = 0 OR team NOT IN (SELECT id FROM teams WHERE open)"),
}

// history is what one writer commits, and what each shape's query returned at the end of each transaction.
type history struct {
	s      *stack.Stack
	random *rand.Rand
	n      int

	mu   sync.Mutex
	rows map[string][]string // shape and number → id=v, sorted
}

// write commits a random transaction. What the queries return is noted before that, since readers may be fast.
func (h *history) write() error {
	ctx := h.s.TB.Context()
	tx, err := h.s.DB.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // nothing after a commit
	h.n++
	for range 1 + h.random.IntN(4) {
		if _, err := tx.Exec(ctx, h.statement()); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, "INSERT INTO members VALUES (0, NULL, $1) ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v", fmt.Sprint("s", h.n)); err != nil {
		return err
	}
	for name, def := range stamped {
		where := strings.ReplaceAll(def.Get("where"), "$1", "'"+def.Get("params[1]")+"'")
		if where == "" {
			where = "true"
		}
		rows, err := tx.Query(ctx, "SELECT id || '=' || coalesce(v, 'NULL') FROM members WHERE "+where)
		if err != nil {
			return err
		}
		got, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		slices.Sort(got)
		h.mu.Lock()
		h.rows[fmt.Sprint(name, h.n)] = got
		h.mu.Unlock()
	}
	return tx.Commit(ctx)
}

func (h *history) statement() string {
	id, team := 1+h.random.IntN(40), 1+h.random.IntN(5)
	text := []string{"NULL", "''", "'a'", `E'"\\\n\u00e9'`, "repeat('a', 3000)", "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 300) i)", "'b/c'"}[h.random.IntN(7)]
	return []string{
		fmt.Sprintf("INSERT INTO members VALUES (%d, %d, %s) ON CONFLICT (id) DO UPDATE SET team = EXCLUDED.team, v = EXCLUDED.v", id, team, text),
		fmt.Sprintf("UPDATE members SET v = %s WHERE team = %d AND id > 0", text, team),
		fmt.Sprintf("UPDATE members SET team = %d WHERE id = %d", team, id),
		fmt.Sprintf("UPDATE members SET team = NULL WHERE id = %d", id),
		fmt.Sprintf("DELETE FROM members WHERE id BETWEEN %d AND %d", id, id+2),
		fmt.Sprintf("UPDATE members SET id = %d WHERE id = %d AND NOT EXISTS (SELECT 1 FROM members WHERE id = %d)", id+100, id, id+100),
		fmt.Sprintf("INSERT INTO members SELECT i, %d, 'many' FROM generate_series(200, 260) i ON CONFLICT (id) DO UPDATE SET v = members.v || 'a'", team),
		fmt.Sprintf("UPDATE teams SET open = NOT open WHERE id = %d", team),
		fmt.Sprintf("UPDATE teams SET open = id IN (%d, %d)", team, 1+h.random.IntN(5)),
	}[h.random.IntN(9)]
}

// holds checks that rows are what a shape's query returned at the end of the transaction that they name, which is not before the last one.
func (h *history) holds(shape string, last *int) func(rows map[string]map[string]*string) error {
	return func(rows map[string]map[string]*string) error {
		n := 0
		for _, row := range rows {
			if *row["id"] == "0" {
				if _, err := fmt.Sscanf(*row["v"], "s%d", &n); err != nil {
					return err
				}
			}
		}
		if n < *last {
			return fmt.Errorf("the rows are as of transaction %d, after those of %d", n, *last)
		}
		*last = n
		h.mu.Lock()
		want := h.rows[fmt.Sprint(shape, n)]
		h.mu.Unlock()
		if diff := cmp.Diff(want, texts(rows)); diff != "" {
			return fmt.Errorf("as of transaction %d: %.2000s", n, diff)
		}
		return nil
	}
}

// follow has a reader go on until it has seen a transaction: by long polls, by events, or by asking again at its end, with pauses. Some of what it
// reads another one reads from there, from the other gateway.
func (h *history) follow(t *testing.T, random *rand.Rand, shape string, bases []string, until func() int) error {
	t.Helper()
	last, deadline := 0, time.Now().Add(patience)
	r := newReader(bases[0], stamped[shape], random.IntN(2) == 0)
	r.check = h.holds(shape, &last)
	again := 0
	for last < until() {
		if again != r.refetches { // it begins, perhaps at a gateway that is behind the other one
			again, last = r.refetches, 0
		}
		switch random.IntN(6) {
		case 0:
			select {
			case <-time.After(time.Duration(random.IntN(40)) * time.Millisecond):
			case <-t.Context().Done():
				return t.Context().Err()
			}
		case 1:
			r.live = false // as a client that is told to refresh
		case 2:
			r.base = bases[random.IntN(len(bases))]
		}
		at := r.offset
		err := r.step(t.Context())
		if err != nil && !errors.Is(err, errAgain) {
			return fmt.Errorf("%s from %s, SSE %v: %w", shape, at, r.sse, err)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s has come to transaction %d of %d only, at %s", shape, last, until(), r.offset)
		}
	}
	return nil
}

// TestWhatIsReadIsWhatTheQueryReturned writes random histories while readers follow shapes of each kind through two gateways, in pieces of random
// sizes, from random places, and logs are folded all the time. At each up-to-date message a reader's rows are what the query returned at the end of one transaction.
func TestWhatIsReadIsWhatTheQueryReturned(t *testing.T) {
	random := seeded(t)
	for i := range 2 {
		seed := random.Uint64()
		t.Run(fmt.Sprint(i), func(t *testing.T) { readRandomly(t, rand.New(rand.NewPCG(seed, 0))) })
	}
}

func readRandomly(t *testing.T, random *rand.Rand) {
	t.Helper()
	s := stack.New(t, `
CREATE TABLE teams (id int PRIMARY KEY, open boolean NOT NULL);
INSERT INTO teams SELECT i, i % 2 = 0 FROM generate_series(1, 5) i;
CREATE TABLE members (id int PRIMARY KEY, team int, v text);
INSERT INTO members SELECT i, i % 5 + 1, 'first' FROM generate_series(1, 30) i;`)
	grace := []time.Duration{time.Millisecond, 500 * time.Millisecond, time.Hour}[random.IntN(3)]
	foldOften(s, grace)
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	s.Gateway.ChunkBytes = []int{2_000, 8_000, 100_000}[random.IntN(3)]
	s.Gateway.WindowBytes = []int{300, 5_000, 1 << 20}[random.IntN(3)]
	s.Gateway.CacheBytes = []int{10_000, 64 << 20}[random.IntN(2)]
	s.Gateway.LongPoll, s.Gateway.Stream = time.Second, time.Duration(50+random.IntN(1500))*time.Millisecond
	t.Logf("chunks of %d bytes, windows of %d, a cache of %d, streams of %s, what is folded goes after %s", s.Gateway.ChunkBytes, s.Gateway.WindowBytes, s.Gateway.CacheBytes, s.Gateway.Stream, grace)
	h := &history{s: s, random: random, rows: map[string][]string{}}
	if err := h.write(); err != nil {
		t.Fatal(err)
	}
	one, _ := s.StartGateway()
	two, _ := s.StartGateway()
	var mu sync.Mutex
	written := 1 << 30
	until := func() int {
		mu.Lock()
		defer mu.Unlock()
		return written
	}
	var readers sync.WaitGroup
	begin := func() {
		for _, shape := range slices.Sorted(maps.Keys(stamped)) {
			own := rand.New(rand.NewPCG(random.Uint64(), 0))
			readers.Go(func() {
				if err := h.follow(t, own, shape, []string{one, two}, until); err != nil {
					t.Error(err)
				}
			})
		}
	}
	defer readers.Wait()
	begin()
	for i := range 45 {
		if i == 15 || i == 30 {
			begin()
		}
		if err := h.write(); err != nil {
			t.Error(err)
			break
		}
	}
	mu.Lock()
	written = h.n
	mu.Unlock()
}
