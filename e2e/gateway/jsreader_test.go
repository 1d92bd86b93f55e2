package gateway

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/topology"
)

// readerModules are the packages of examples/js.
var readerModules modules

// scriptReader runs examples/js/follow.mjs, which reads shapes over NATS as docs/PROTOCOL.md says.
type scriptReader struct {
	mu     sync.Mutex
	states int
	rows   []string // of the last state, values with commas between, sorted
	err    error
	errors bytes.Buffer
}

func startScriptReader(t *testing.T, s *stack.Stack, definition string) *scriptReader {
	t.Helper()
	dir, err := filepath.Abs("../../examples/js")
	if err != nil {
		t.Fatal(err)
	}
	readerModules.need(t, dir)
	cmd := exec.CommandContext(t.Context(), "node", "follow.mjs", s.NATS.ClientURL(), string(s.Source), definition)
	cmd.Dir = dir
	r := &scriptReader{}
	cmd.Stderr = &r.errors
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() { r.read(bufio.NewReader(out)) })
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		reading.Wait()
		_ = cmd.Wait() // it was interrupted
		if t.Failed() {
			t.Logf("the reader says:\n%s", r.errors.String())
		}
	})
	return r
}

func (r *scriptReader) read(out *bufio.Reader) {
	for {
		line, err := out.ReadBytes('\n')
		if err != nil {
			return
		}
		var state struct {
			Rows [][]*string `json:"rows"`
		}
		err = json.Unmarshal(line, &state)
		rows := []string{}
		for _, row := range state.Rows {
			var text []string
			for _, v := range row {
				if v == nil {
					text = append(text, "NULL")
				} else {
					text = append(text, *v)
				}
			}
			rows = append(rows, strings.Join(text, ","))
		}
		slices.Sort(rows)
		r.mu.Lock()
		r.rows, r.states = rows, r.states+1
		if err != nil && r.err == nil {
			r.err = fmt.Errorf("%.200s: %w", line, err)
		}
		r.mu.Unlock()
	}
}

// exact waits until the last state is what the query says.
func (r *scriptReader) exact(t *testing.T, s *stack.Stack, when, query string) {
	t.Helper()
	want := selectIDs(t, s, query)
	slices.Sort(want)
	var got []string
	s.Until(when+": the state is exact", func() (bool, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		got = r.rows
		return r.states > 0 && cmp.Equal(got, want), r.err
	}, func() string { return cmp.Diff(want, got) })
}

// TestAReaderWrittenFromTheProtocolFollowsAFoldedShape has a reader that shares nothing with the Go client follow shapes whose logs
// are folded all the time, one of them without a key: one that was there from the start, and one that begins with a generation.
func TestAReaderWrittenFromTheProtocolFollowsAFoldedShape(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Postgres; not in -short")
	}
	server, err := natsembed.Start(natsembed.Options{Dir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	s := stack.WithNATS(t, teams+`CREATE TABLE notes (n int, txt text);`, server)
	foldOften(s, time.Millisecond)
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	type following struct {
		query   string
		readers []*scriptReader
	}
	shapes := map[string]*following{
		`{"table": "members", "where": "team <> 3"}`: {query: "SELECT id || ',' || team || ',' || v FROM members WHERE team <> 3"},
		`{"table": "notes"}`:                         {query: "SELECT n || ',' || coalesce(txt, 'NULL') FROM notes"},
	}
	handles := []*client.Shape{s.Create(client.Definition{Table: "members", Where: "team <> 3"}), s.Create(client.Definition{Table: "notes"})}
	begin := func() {
		for definition, f := range shapes {
			f.readers = append(f.readers, startScriptReader(t, s, definition))
		}
	}
	exact := func(when string) {
		t.Helper()
		for definition, f := range shapes {
			for i, r := range f.readers {
				r.exact(t, s, fmt.Sprintf("%s: reader %d of %s", when, i, definition), f.query)
			}
		}
	}
	begin()
	exact("at first")
	for round := range 3 {
		for i := range 10 {
			s.Exec(fmt.Sprintf("UPDATE members SET v = 'v%d.%d', team = 1 + (team + %d) %% 6 WHERE id %% 7 = %d", round, i, i, i%7))
			s.Exec(fmt.Sprintf("INSERT INTO notes SELECT i %% 4, CASE WHEN i %% 3 > 0 THEN 'x' END FROM generate_series(1, %d) i; DELETE FROM notes WHERE n = %d", i+5, i%5))
			if i == 5 && round == 1 {
				s.Exec("TRUNCATE notes")
			}
		}
		exact(fmt.Sprint("round ", round))
		for _, sh := range handles {
			fold(t, s, sh)
		}
		if round == 1 {
			begin()
		}
	}
	s.Exec("UPDATE members SET v = 'last'; INSERT INTO notes VALUES (9, 'last')")
	exact("behind the last fold")
}

// TestAReaderWrittenFromTheProtocolNoticesALogThatWentBack deletes the stream of a log while it is read. What is written there later
// has smaller sequences than what was read, or its first messages have sizes that were read before.
func TestAReaderWrittenFromTheProtocolNoticesALogThatWentBack(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Postgres; not in -short")
	}
	for _, further := range []bool{false, true} {
		t.Run(fmt.Sprintf("its sequences go on: %t", further), func(t *testing.T) {
			server, err := natsembed.Start(natsembed.Options{Dir: t.TempDir(), Port: -1})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(server.Stop)
			s := stack.WithNATS(t, teams, server)
			s.Consumer.Partitions = 1
			s.StartIngest()
			stop := s.StartConsumer()
			r := startScriptReader(t, s, `{"table": "members", "where": "id < 6"}`)
			exact := func(when string) {
				t.Helper()
				r.exact(t, s, when, "SELECT id || ',' || team || ',' || v FROM members WHERE id < 6")
			}
			exact("at first")
			for i := range 20 {
				s.Exec(fmt.Sprintf("UPDATE members SET v = 'v%d'", i))
			}
			exact("behind changes")
			stop()
			stream, err := s.JS.Stream(t.Context(), s.Source.ShapeStream(0))
			if err != nil {
				t.Fatal(err)
			}
			last := stream.CachedInfo().State.LastSeq
			s.Exec("UPDATE members SET v = 'nobody has written this down'")
			if err := s.JS.DeleteStream(t.Context(), s.Source.ShapeStream(0)); err != nil {
				t.Fatal(err)
			}
			if further {
				s.Until("the stream is made again", func() (bool, error) { // the server may still be removing the old one
					return s.Source.EnsureShapeLogs(t.Context(), s.JS, 1, topology.ShapeLogConfig{}) == nil, nil
				}, func() string { return "it is not" })
				for range last {
					if _, err := s.JS.Publish(t.Context(), "sb."+string(s.Source)+".shape.0."+topology.FenceToken, nil); err != nil {
						t.Fatal(err)
					}
				}
			}
			s.StartConsumer()
			exact("behind the loss of the log")
			s.Exec("UPDATE members SET v = 'the last'")
			exact("at last")
		})
	}
}
