package flow

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/e2e/logcheck"
	"github.com/shapebus/shapebus/e2e/long"
	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// holding holds a consumer up where it comes to a failpoint the next time.
type holding struct {
	mu      sync.Mutex
	at      failpoint.Point // 0 for none
	reached chan struct{}
	release chan struct{}
}

// Failpoint is that of the consumer.
func (h *holding) Failpoint(p failpoint.Point) {
	h.mu.Lock()
	if h.at == 0 || p != h.at {
		h.mu.Unlock()
		return
	}
	h.at = 0
	reached, release := h.reached, h.release
	h.mu.Unlock()
	close(reached)
	<-release
}

// next is where it is held up next: reached is closed when it is there, and let is to be called then.
func (h *holding) next(at failpoint.Point) (reached <-chan struct{}, let func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at, h.reached, h.release = at, make(chan struct{}), make(chan struct{})
	release := h.release
	return h.reached, sync.OnceFunc(func() { close(release) })
}

// steps are those of a fold, in the middle of which something may come.
var steps = []failpoint.Point{
	failpoint.FoldBegun, failpoint.FoldRow, failpoint.FoldCopied, failpoint.FoldStored, failpoint.FoldUntold, failpoint.FoldCut, failpoint.FoldPurged,
}

const plainShape = "a plain shape"

// foldable are a shape without and one with subqueries.
func foldable() map[string]client.Definition {
	return map[string]client.Definition{
		plainShape:                {Table: "tasks", Where: "project_id < 1000"},
		"a shape with subqueries": {Table: "tasks", Where: ofProjects},
	}
}

// midst is a stack whose folds are held up.
type midst struct {
	*stack.Stack
	holding
}

func newMidst(t *testing.T) *midst {
	t.Helper()
	m := &midst{Stack: stack.New(t, nestedSchema)}
	m.Consumer.FoldFactor, m.Consumer.FoldEvery, m.Consumer.FoldGrace = -1, 20*time.Millisecond, time.Millisecond
	m.Consumer.SnapshotBytes = 500 // so that the rows are several messages
	m.Consumer.Failpoint = m.Failpoint
	m.StartIngest()
	return m
}

// change changes all that the shapes depend on.
func (m *midst) change(n int) {
	m.Exec(fmt.Sprintf("UPDATE projects SET active = NOT active WHERE id %% 4 = %d; UPDATE tasks SET title = 'in round %d', project_id = 1 + (id + %d) %% 10 WHERE id %% 3 = %d", n%4, n, n, n%3))
}

// fold asks for a fold and waits until it is held up.
func (m *midst) fold(sh *client.Shape, at failpoint.Point) (let func()) {
	m.TB.Helper()
	reached, let := m.next(at)
	m.TB.Cleanup(let)
	if _, err := m.Client.Fold(m.TB.Context(), sh.Handle()); err != nil {
		m.TB.Fatal(err)
	}
	select {
	case <-reached:
	case <-time.After(stack.Timeout):
		m.TB.Fatalf("the fold does not come to %s", at)
	}
	return let
}

// start executes SQL, which may have to wait for a lock that a fold has. It returns when it is done or waits.
func (m *midst) start(sql string) (done <-chan error) {
	m.TB.Helper()
	conn := m.Connect()
	pid, ended := conn.PgConn().PID(), make(chan error, 1)
	over := make(chan struct{})
	go func() {
		_, err := conn.PgConn().Exec(m.TB.Context(), sql).ReadAll()
		ended <- err
		close(over)
	}()
	m.Until("it is done or waits for a lock", func() (bool, error) {
		select {
		case <-over:
			return true, nil
		default:
		}
		var kind string
		err := m.DB.QueryRow(m.TB.Context(), "SELECT coalesce(wait_event_type, '') FROM pg_stat_activity WHERE pid = $1", pid).Scan(&kind)
		return kind == "Lock", err
	}, func() string { return "it does neither" })
	return ended
}

// subjectsLeft are those that are left of an incarnation of a shape, with their numbers of messages.
func subjectsLeft(s *stack.Stack, info control.Shape) map[string]uint64 {
	s.TB.Helper()
	st, err := s.JS.Stream(s.TB.Context(), s.Source.ShapeStream(info.Partition))
	if err != nil {
		s.TB.Fatal(err)
	}
	i, err := st.Info(s.TB.Context(), jetstream.WithSubjectFilter("sb."+string(s.Source)+".shape.*."+info.Handle+".>"))
	if err != nil {
		s.TB.Fatal(err)
	}
	return i.State.Subjects
}

// TestATableIsTruncatedInTheMidstOfAFold truncates and fills the tables at each step, under readers.
func TestATableIsTruncatedInTheMidstOfAFold(t *testing.T) {
	for name, def := range foldable() {
		t.Run(name, func(t *testing.T) {
			m := newMidst(t)
			m.StartConsumer()
			m.StartMaterializer()
			sh := m.Create(def)
			stop := readers(m.Stack, sh, 1)
			for n, at := range steps {
				m.change(n)
				m.Settle(sh)
				from := generationOf(m.Stack, sh)
				let := m.fold(sh, at)
				done := m.start("BEGIN; CREATE TEMP TABLE was ON COMMIT DROP AS SELECT * FROM tasks; TRUNCATE tasks, projects; " +
					"INSERT INTO tasks SELECT * FROM was WHERE id % 5 <> 0; INSERT INTO projects SELECT i, i % 2 = 0, i % 3 FROM generate_series(1, 10) i; COMMIT")
				let()
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				m.change(n + 1)
				m.Await(sh, fmt.Sprintf("it is folded, though held up at %s", at), func(i control.Shape) bool { return i.Generation > from && i.Fold == nil })
				m.Verify(sh)
			}
			stop()
		})
	}
}

// TestATableIsAlteredInTheMidstOfAFold alters the table at each step, which ends the shape: nothing but its last word is left, and the
// shape that is made then has the new column.
func TestATableIsAlteredInTheMidstOfAFold(t *testing.T) {
	for name, def := range foldable() {
		t.Run(name, func(t *testing.T) {
			m := newMidst(t)
			m.StartConsumer()
			m.StartMaterializer()
			for n, at := range steps {
				sh := m.Create(def)
				m.change(n)
				m.Settle(sh)
				let := m.fold(sh, at)
				done := m.start(fmt.Sprintf("ALTER TABLE tasks ADD COLUMN more_%d int DEFAULT %d; UPDATE tasks SET more_%[1]d = id", n, n))
				let()
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				m.gone(sh)
				m.Until("nothing but the last word is left", func() (bool, error) { return len(subjectsLeft(m.Stack, sh.Info())) <= 1, nil },
					func() string { return fmt.Sprintf("held up at %s: %v", at, subjectsLeft(m.Stack, sh.Info())) })
				again := m.remake(def, sh.Handle())
				if c := again.Columns(); len(c) != len(sh.Columns())+1 {
					t.Fatalf("it has the columns %v", c)
				}
				m.Verify(again)
			}
		})
	}
}

// TestAShapeIsMadeAgainInTheMidstOfAFold deletes a shape at each step and makes it again, before the fold of the one before goes on.
func TestAShapeIsMadeAgainInTheMidstOfAFold(t *testing.T) {
	for name, def := range foldable() {
		t.Run(name, func(t *testing.T) {
			m := newMidst(t)
			m.StartConsumer()
			m.StartMaterializer()
			sh := m.Create(def)
			for n, at := range steps {
				m.change(n)
				m.Settle(sh)
				let := m.fold(sh, at)
				if err := sh.Delete(t.Context()); err != nil {
					t.Fatal(err)
				}
				again := m.remake(def, sh.Handle())
				m.change(n + 1)
				m.Settle(again)
				let()
				m.Until("nothing but the last word is left", func() (bool, error) { return len(subjectsLeft(m.Stack, sh.Info())) <= 1, nil },
					func() string { return fmt.Sprintf("held up at %s: %v", at, subjectsLeft(m.Stack, sh.Info())) })
				if n := generationOf(m.Stack, again); n != 0 {
					t.Errorf("held up at %s: the shape that is new has generation %d", at, n)
				}
				m.Verify(again)
				sh = again
			}
		})
	}
}

// gone waits until a shape has ended.
func (m *midst) gone(sh *client.Shape) {
	m.TB.Helper()
	m.Until("the shape has ended", func() (bool, error) {
		now, err := m.Client.Get(m.TB.Context(), sh.Handle())
		if e, ok := errors.AsType[*client.RequestError](err); ok && e.Code == control.CodeNotFound {
			return true, nil
		}
		return err == nil && now.State == control.StateEnded, nil
	}, func() string { return "it has not" })
}

// remake makes a shape again whose incarnation before has the handle.
func (m *midst) remake(def client.Definition, before string) (sh *client.Shape) {
	m.TB.Helper()
	var last error
	m.Until("the shape is made again", func() (bool, error) {
		var err error
		sh, err = m.Client.Create(m.TB.Context(), def)
		if e, ok := errors.AsType[*client.RequestError](err); ok && e.Code == control.CodeConflict {
			last = err
			return false, nil
		}
		return err == nil && sh.Handle() != before, err
	}, func() string { return fmt.Sprint(last) })
	m.Await(sh, "live", func(i control.Shape) bool { return i.State == control.StateLive })
	return sh
}

// moves is 1 if a shape is with a process, else 0.
func moves(m *midst, sh *client.Shape, process string) int {
	m.TB.Helper()
	status, err := m.Client.Status(m.TB.Context())
	if err != nil {
		m.TB.Fatal(err)
	}
	for _, o := range status.Owners {
		if o.Partition == sh.Info().Partition && o.Consumer == process {
			return 1
		}
	}
	return 0
}

// TestAPartitionMovesInTheMidstOfAFold lets the consumer that folds lose its connection at each step, or give half of its partitions to another
// one. The log is folded as it was asked, by whoever has it, and those who read are told nothing.
func TestAPartitionMovesInTheMidstOfAFold(t *testing.T) {
	t.Parallel()
	for name, def := range foldable() {
		for how, soft := range map[string]bool{"is cut off": false, "shares": true} {
			t.Run(name+" whose consumer "+how, func(t *testing.T) {
				m := newMidst(t)
				members, moved := 0, 0
				member := func() *stack.Member {
					members++
					m.Consumer.Name = fmt.Sprintf("c%d", members)
					return m.StartMember()
				}
				owner := member()
				m.StartMaterializer()
				sh := m.Create(def)
				stop := readers(m.Stack, sh, 1)
				for n, at := range steps {
					if at != failpoint.FoldRow && at != failpoint.FoldStored && !long.Runs() {
						continue
					}
					m.change(n)
					m.Settle(sh)
					from := generationOf(m.Stack, sh)
					let := m.fold(sh, at)
					next := owner
					if soft {
						next = member()
						m.Until("it has its share", func() (bool, error) { return next.Owned() == 4 && owner.Owned() == 4, nil }, func() string { return fmt.Sprint(owner.Owned(), next.Owned()) })
						let()
					} else {
						owner.Cut()
						let()
						owner.Stop()
						next = member()
					}
					m.change(n + 1)
					m.Await(sh, fmt.Sprintf("it is folded, though held up at %s", at), func(i control.Shape) bool { return i.Generation > from && i.Fold == nil })
					m.Verify(sh)
					if soft {
						moved += moves(m, sh, fmt.Sprintf("c%d", members))
						owner.Stop()
					}
					owner = next
				}
				stop()
				t.Logf("the shape's partition moved %d times", moved)
			})
		}
	}
}

// TestFoldsThatDieDoNotPileUp has one consumer after the other die when it has written some rows of a generation. While the next fold reads the
// rows, there are its own and those with which the log begins.
func TestFoldsThatDieDoNotPileUp(t *testing.T) {
	t.Parallel()
	for name, def := range foldable() {
		t.Run(name, func(t *testing.T) {
			if name == plainShape {
				long.Only(t)
			}
			m := newMidst(t)
			owner := m.StartMember()
			m.StartMaterializer()
			sh := m.Create(def)
			m.change(1)
			m.Settle(sh)
			for range 3 {
				let := m.fold(sh, failpoint.FoldRow)
				owner.Cut()
				let()
				owner.Stop()
				reached, next := m.next(failpoint.FoldCopied)
				owner = m.StartMember()
				select {
				case <-reached:
				case <-time.After(stack.Timeout):
					t.Fatal("the log is not folded again")
				}
				segments := 0
				for subject, messages := range subjectsLeft(m.Stack, sh.Info()) {
					if strings.Contains(subject, ".seg.") && messages > 0 {
						segments++
					}
				}
				if segments != 2 {
					t.Errorf("there are %d segments: %v", segments, subjectsLeft(m.Stack, sh.Info()))
				}
				owner.Cut()
				next()
				owner.Stop()
				owner = m.StartMember()
				m.Await(sh, "it is folded", func(i control.Shape) bool { return i.Generation > 0 && i.Fold == nil })
			}
			m.Verify(sh)
		})
	}
}

// TestAFoldsUnitDefersTransactions commits between the snapshot of a fold's unit and its barrier: what the snapshot does not see comes behind
// the marker at which the generation is the shape. One of them was open before the snapshot, and has taken a part back.
func TestAFoldsUnitDefersTransactions(t *testing.T) {
	for name, def := range map[string]client.Definition{
		"a shape with subqueries":        {Table: "tasks", Where: ofProjects},
		"a shape with nested subqueries": {Table: "comments", Where: ofTasks},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMidst(t)
			m.Consumer.FoldGrace = time.Hour // so that all of the log can be compared with the generation
			m.StartConsumer()
			m.StartMaterializer()
			sh := m.Create(def)
			m.change(1)
			before := m.Verify(sh)[0]
			stop := readers(m.Stack, sh, 1)
			open := m.Connect()
			run := func(sql string) {
				t.Helper()
				if _, err := open.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
					t.Fatal(err)
				}
			}
			run("BEGIN; UPDATE tasks SET title = 'before the snapshot' WHERE id < 50; UPDATE comments SET text = 'before the snapshot' WHERE id < 50; DELETE FROM comments WHERE id < 20;" +
				"SAVEPOINT s; DELETE FROM tasks; DELETE FROM comments; ROLLBACK TO s")
			let := m.fold(sh, failpoint.UnitOpen)
			run("INSERT INTO tasks VALUES (5000, 2, false, 'behind the snapshot'); INSERT INTO comments VALUES (5000, 2, 'behind the snapshot'); COMMIT")
			m.Exec("UPDATE projects SET active = NOT active WHERE id > 5; UPDATE comments SET text = 'another' WHERE id > 300; DELETE FROM tasks WHERE id > 190 AND id < 5000")
			let()
			info := m.Await(sh, "it is folded", func(i control.Shape) bool { return i.Generation == 1 && i.Fold == nil })
			g, err := logcheck.Generation(t.Context(), m.JS, m.Source, info)
			if err != nil || int(g.Rows) != len(before.Rows) {
				t.Fatalf("generation %+v (%v): want the %d rows that the unit's snapshot has", g, err, len(before.Rows))
			}
			m.Verify(sh)
			stop()
		})
	}
}
