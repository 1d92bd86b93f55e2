package crash

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/e2e/proc"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// audit reads the change log as it is stored and judges it: every transaction
// in order, each of its ops once, one first and one last fragment on every
// table it touched. It knows nothing of how ingest decides.
type audit struct {
	control string // subject of what is not a fragment
	start   bool   // it is read from its first message; otherwise the first transaction may lack its beginning
	torn    bool   // one transaction may lack its end

	lsn    change.LSN
	whole  bool                   // the transaction at lsn has been seen from its beginning
	tables map[string]*auditTable // that it touched; nil when it is over
	ops    []bool                 // that it has, by index

	fragments int
	closed    int // transactions
	total     int // ops of them
}

type auditTable struct {
	next   uint64
	marked bool
}

// audit judges the change log from a sequence on, or from where it begins.
func (w *world) audit(from uint64) *audit {
	w.tb.Helper()
	state := w.changes()
	a := &audit{control: w.source.ControlSubject(), start: max(from, state.FirstSeq) == 1, torn: w.torn}
	if state.Msgs == 0 || from > state.LastSeq {
		return a
	}
	ctx, cancel := context.WithTimeout(w.tb.Context(), proc.Patience)
	defer cancel()
	open := func(from uint64) *stream.Reader {
		r, err := stream.OpenReader(ctx, w.nats.js, w.source.ChangeStream(), from)
		if err != nil {
			w.tb.Fatal(err)
		}
		return r
	}
	r := open(max(from, state.FirstSeq))
	defer func() { r.Close() }()
	var d wire.ChangeDecoder
	for seq := uint64(0); seq < state.LastSeq; {
		m, err := r.Next(ctx)
		if errors.Is(err, stream.ErrGap) {
			if w.changes().FirstSeq > seq+1 { // trimmed meanwhile
				return w.audit(0)
			}
			// The server gave no message these numbers after it had lost the ones that had them.
			r.Close()
			r = open(w.next(ctx, seq+1))
			continue
		}
		if err != nil {
			w.tb.Fatal(err)
		}
		seq = m.Seq
		if m.Subject == a.control {
			continue
		}
		if err := d.Decode(m.Data, a.fragment); err != nil {
			w.tb.Fatalf("change log message %d: %v", seq, err)
		}
		if lsn, err := stream.LSN(m.Header); err != nil || lsn != a.lsn {
			w.tb.Fatalf("change log message %d says %s of its last transaction, which is at %s: %v", seq, lsn, a.lsn, err)
		}
	}
	return a
}

// next is the sequence of the change log's first message from one on.
func (w *world) next(ctx context.Context, seq uint64) uint64 {
	w.tb.Helper()
	st, err := w.nats.js.Stream(ctx, w.source.ChangeStream())
	if err != nil {
		w.tb.Fatal(err)
	}
	m, err := st.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(">"))
	if err != nil {
		w.tb.Fatal(err)
	}
	return m.Sequence
}

func (a *audit) fragment(f *change.Fragment) error {
	a.fragments++
	if f.LSN < a.lsn {
		return fmt.Errorf("transaction %s after %s", f.LSN, a.lsn)
	}
	if f.LSN > a.lsn {
		if a.tables != nil && a.whole && a.torn {
			a.torn = false
		} else if a.tables != nil && a.whole {
			return fmt.Errorf("transaction %s begins before %s has its last marker", f.LSN, a.lsn)
		}
		a.whole = a.start || a.lsn != 0
		a.lsn, a.tables, a.ops = f.LSN, map[string]*auditTable{}, a.ops[:0]
	} else if a.tables == nil && a.whole {
		return fmt.Errorf("a fragment of transaction %s behind its last marker", f.LSN)
	}
	if !a.whole {
		return nil
	}
	t := a.tables[f.Relation]
	if (t == nil) != f.First {
		return fmt.Errorf("transaction %s: first is %v on fragment %d of the table", f.LSN, f.First, a.fragments)
	}
	if t == nil {
		t = &auditTable{}
		a.tables[f.Relation] = t
	}
	if t.marked {
		return fmt.Errorf("transaction %s: a fragment behind the table's marker", f.LSN)
	}
	for _, op := range f.Ops {
		i := op.Index / change.OpStep
		if op.Index < t.next || op.Index%change.OpStep != 0 {
			return fmt.Errorf("transaction %s: op %d where %d or more is due", f.LSN, op.Index, t.next)
		}
		t.next = op.Index + change.OpStep
		for uint64(len(a.ops)) <= i {
			a.ops = append(a.ops, false)
		}
		if a.ops[i] {
			return fmt.Errorf("transaction %s: op %d is there twice", f.LSN, op.Index)
		}
		a.ops[i] = true
	}
	if f.Last {
		t.marked = true
		return a.last(f)
	}
	return nil
}

// last closes the transaction when every table has its marker.
func (a *audit) last(f *change.Fragment) error {
	marked := 0
	for _, t := range a.tables {
		if t.marked {
			marked++
		}
	}
	if marked < len(f.Tables) {
		return nil
	}
	if missing := slices.Index(a.ops, false); missing >= 0 || uint64(len(a.ops))*change.OpStep != f.End {
		return fmt.Errorf("transaction %s ends at %d with %d ops; the first that is missing: %d", f.LSN, f.End, len(a.ops), missing)
	}
	a.closed++
	a.total += len(a.ops)
	a.tables = nil
	return nil
}

// open reports whether the change log ends inside a transaction.
func (a *audit) open() bool { return a.tables != nil }

// auditAll judges what is left of the change log.
func (w *world) auditAll() {
	w.tb.Helper()
	began := time.Now()
	a := w.audit(1)
	w.tb.Logf("change log: %d ops of %d transactions, each once, in %d fragments (%s)", a.total, a.closed, a.fragments, time.Since(began).Round(time.Millisecond))
}
