package ingest

import (
	"fmt"
	"slices"

	"github.com/google/go-cmp/cmp"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// check compares the log with the history it should hold. With repeats,
// relation entries may come more than once.
func (l *simLog) check(wal []simTxn, repeats bool) error {
	type flat struct {
		Rel string
		Op  change.Op
	}
	txns := map[change.LSN]*simTxn{}
	var barriers []string
	for i := range wal {
		x := &wal[i]
		txns[x.lsn] = x
		if x.barrier != "" {
			barriers = append(barriers, x.barrier)
		}
		barriers = append(barriers, x.barriers...)
	}
	want := func(x *simTxn) (ops []flat, tables []uint32) {
		for _, s := range x.steps {
			for _, r := range s.rel {
				op := s.op
				if s.truncate {
					op = change.Op{Kind: change.Truncate}
				}
				op.Index = uint64(len(ops)) * change.OpStep
				ops = append(ops, flat{r.Fingerprint(), op})
				tables = append(tables, r.OID)
			}
		}
		slices.Sort(tables)
		return ops, slices.Compact(tables)
	}
	got := map[change.LSN]map[uint64]flat{}
	ended := map[string]bool{} // lsn/oid
	began := map[string]bool{}
	var gotBarriers []string
	announced := map[uint32]string{}
	var entries, changes int
	var lastLSN, lastHeader, lastWhole change.LSN
	whole, more := 0, false
	var parts stream.Assembler
	var d wire.ChangeDecoder
	for i, m := range l.messages {
		header, err := stream.LSN(m.Header)
		if err != nil {
			return err
		}
		if header < lastHeader {
			return fmt.Errorf("message %d: header LSN falls", i)
		}
		lastHeader = header
		data, ok, err := parts.Add(m.Subject, m.Header, m.Data)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		step, err := stream.StepOf(&stream.Received{Header: m.Header})
		switch {
		case err != nil:
			return err
		case !step.Told || step.After > header || whole > 0 && step.After != lastWhole:
			return fmt.Errorf("message %d at %d says that it is behind one at %d, that one is at %d", i, header, step.After, lastWhole)
		case whole > 0 && more && header != lastWhole:
			return fmt.Errorf("message %d is at %d, but more was to come at %d", i, header, lastWhole)
		case whole > 0 && !more && header == lastWhole:
			return fmt.Errorf("message %d goes on at %d, where all was there", i, header)
		}
		lastWhole, more = header, step.More
		whole++
		if m.Subject == simSource.ControlSubject() {
			c, err := wire.DecodeControl(data)
			if err != nil {
				return err
			}
			if change.LSN(c.LSN) != header {
				return fmt.Errorf("message %d: entry at %d under header %d", i, c.LSN, header)
			}
			switch c.Kind {
			case wire.ControlBarrier:
				gotBarriers = append(gotBarriers, c.Payload)
				lastLSN = header
			case wire.ControlRelation:
				entries++
				announced[c.OID] = c.Relation
			default:
				return fmt.Errorf("message %d: %s", i, c.Kind)
			}
			continue
		}
		fragments, whole := 0, true
		subject := ""
		err = d.Decode(data, func(f *change.Fragment) error {
			fragments++
			x := txns[f.LSN]
			if x == nil || x.xid != f.XID || f.CommitTime != int64(x.xid) {
				return fmt.Errorf("transaction %d at %s is not in the WAL", f.XID, f.LSN)
			}
			if f.LSN < lastLSN {
				return fmt.Errorf("fragment of %s after %s", f.LSN, lastLSN)
			}
			lastLSN = f.LSN
			if f.LSN > header {
				return fmt.Errorf("fragment of %s under header %s", f.LSN, header)
			}
			rel := l.rels[f.Relation]
			if rel == nil {
				return fmt.Errorf("relation %s is not described", f.Relation)
			}
			if a := announced[rel.OID]; a != f.Relation {
				if a != "" {
					return fmt.Errorf("fragment with relation %s, announced was %s", f.Relation, a)
				}
				announced[rel.OID] = f.Relation
			}
			if want := simSource.ChangeSubject(rel.Schema, rel.Name); m.Subject != want {
				return fmt.Errorf("subject %s, want %s", m.Subject, want)
			}
			if subject != "" && subject != f.Relation {
				return fmt.Errorf("two relations in one message")
			}
			subject = f.Relation
			ops, tables := want(x)
			id := fmt.Sprint(f.LSN, "/", rel.OID)
			if ended[id] {
				return fmt.Errorf("%s: a fragment after the commit marker", id)
			}
			if f.First == began[id] {
				return fmt.Errorf("%s: first is %v", id, f.First)
			}
			began[id] = true
			if got[f.LSN] == nil {
				got[f.LSN] = map[uint64]flat{}
			}
			for below := range f.Group / change.OpStep {
				if _, ok := got[f.LSN][below*change.OpStep]; !ok {
					return fmt.Errorf("%s: group %d, but op %d is not stored", id, f.Group, below*change.OpStep)
				}
			}
			last := int64(-1)
			for _, op := range f.Ops {
				if int64(op.Index) <= last || op.Index < f.Group {
					return fmt.Errorf("%s: op %d after %d in group %d", id, op.Index, last, f.Group)
				}
				last = int64(op.Index)
				if _, twice := got[f.LSN][op.Index]; twice {
					return fmt.Errorf("%s: op %d stored twice", id, op.Index)
				}
				op.Old, op.New = copyRow(op.Old), copyRow(op.New)
				got[f.LSN][op.Index] = flat{f.Relation, op}
			}
			if f.Last {
				ended[id] = true
				if f.End != uint64(len(ops))*change.OpStep || !slices.Equal(f.Tables, tables) {
					return fmt.Errorf("%s: marker with end %d and tables %v, want %d and %v", id, f.End, f.Tables, len(ops)*change.OpStep, tables)
				}
			}
			whole = whole && f.First && f.Last && len(f.Tables) == 1
			return nil
		})
		if err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		if fragments > 1 && !whole {
			return fmt.Errorf("message %d: %d fragments that are not whole transactions on one table", i, fragments)
		}
	}
	if parts.Pending() {
		return fmt.Errorf("the log ends in an unfinished message")
	}
	known := map[uint32]string{}
	for i := range wal {
		x := &wal[i]
		ops, tables := want(x)
		have := make([]flat, 0, len(ops))
		for i := range ops {
			have = append(have, got[x.lsn][uint64(i)*change.OpStep])
		}
		if diff := cmp.Diff(ops, have, cmp.Comparer(func(a, b []flat) bool {
			return len(a) == 0 && len(b) == 0 || fmt.Sprintf("%#v", a) == fmt.Sprintf("%#v", b)
		})); diff != "" {
			return fmt.Errorf("transaction at %s: %s", x.lsn, diff)
		}
		if n := len(got[x.lsn]); n != len(ops) {
			return fmt.Errorf("transaction at %s: %d ops, want %d", x.lsn, n, len(ops))
		}
		for _, oid := range tables {
			if !ended[fmt.Sprint(x.lsn, "/", oid)] {
				return fmt.Errorf("transaction at %s: no commit marker on table %d", x.lsn, oid)
			}
		}
		for _, s := range x.steps {
			for _, r := range s.rel {
				if k := known[r.OID]; k != "" && k != r.Fingerprint() {
					changes++
				}
				known[r.OID] = r.Fingerprint()
			}
		}
	}
	if !slices.Equal(barriers, gotBarriers) {
		return fmt.Errorf("barriers %q, want %q", gotBarriers, barriers)
	}
	if entries < changes || entries > changes && !repeats {
		return fmt.Errorf("%d relation entries for %d changes", entries, changes)
	}
	return nil
}
