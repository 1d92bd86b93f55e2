package client_test

import (
	"fmt"
	"strings"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// history is what a random log says, which the tests' writer lays out in
// messages as it likes.
type history struct {
	snapshot  int
	stretches []stretch
	open      stretch // at the end, without a marker; may be empty
}

// stretch is a transaction or a unit, or the beginning of one that is aborted.
type stretch struct {
	unit     bool
	aborted  bool
	ops      []histOp
	marker   histOp       // unless aborted
	deferred []change.LSN // behind the marker
}

type histOp struct {
	lsn, xid, index uint64
	kind            change.Kind
}

func (o histOp) at() change.Offset { return change.Offset{LSN: change.LSN(o.lsn), Op: o.index} }

func (o histOp) row(note string) []string {
	if o.kind == change.Delete || o.kind == change.Discard {
		return []string{o.at().String(), "x"}
	}
	return []string{o.at().String(), note, "x"}
}

func (o histOp) line() string {
	if o.kind == change.Delete || o.kind == change.Discard {
		return fmt.Sprintf("%s %s id=%s,part=x", o.at(), o.kind, o.at())
	}
	return fmt.Sprintf("%s %s id=%s,note=n,part=x", o.at(), o.kind, o.at())
}

var histories = rapid.Custom(func(t *rapid.T) history {
	h := history{snapshot: rapid.IntRange(0, 5).Draw(t, "snapshot rows")}
	lsn := uint64(100)
	for range rapid.IntRange(0, 5).Draw(t, "transactions") {
		for rapid.IntRange(0, 3).Draw(t, "aborted") == 0 {
			aborted := drawOps(t, lsn, rapid.Bool().Draw(t, "of a unit"))
			aborted.aborted = true
			h.stretches = append(h.stretches, aborted)
		}
		s := drawOps(t, lsn, rapid.IntRange(0, 2).Draw(t, "unit") == 0)
		h.stretches = append(h.stretches, s)
		if s.unit {
			h.stretches = append(h.stretches, drawDeferred(t, &h.stretches[len(h.stretches)-1], lsn)...)
		}
		lsn = s.marker.lsn
	}
	switch rapid.IntRange(0, 3).Draw(t, "end") {
	case 0:
		h.open = drawOps(t, lsn, true)
	case 1:
		aborted := drawOps(t, lsn, true)
		aborted.aborted = true
		h.stretches = append(h.stretches, aborted)
	}
	return h
})

// lives are two logs under one name: the second begins as the first does, and
// goes on in another way, or in the same.
var lives = rapid.Custom(func(t *rapid.T) [2]history {
	first := histories.Draw(t, "first")
	second := history{snapshot: first.snapshot}
	keep := rapid.IntRange(0, len(first.stretches)).Draw(t, "kept")
	second.stretches = append(second.stretches, first.stretches[:keep]...)
	for keep > 0 && second.stretches[keep-1].aborted {
		keep--
		second.stretches = second.stretches[:keep]
	}
	lsn := uint64(100)
	if marker := second.committed(); marker != nil {
		lsn = uint64(marker.LSN)
	}
	for range rapid.IntRange(0, 3).Draw(t, "more") {
		s := drawOps(t, lsn, rapid.IntRange(0, 2).Draw(t, "unit") == 0)
		second.stretches = append(second.stretches, s)
		lsn = s.marker.lsn
	}
	return [2]history{first, second}
})

// committed is the offset of the last commit marker, nil if there is none.
func (h history) committed() (last *change.Offset) {
	for _, s := range h.stretches {
		if !s.aborted {
			at := s.marker.at()
			last = &at
		}
	}
	return last
}

// commits reports whether a commit marker stands at an offset.
func (h history) commits(at change.Offset) bool {
	for _, s := range h.stretches {
		if !s.aborted && s.marker.at() == at {
			return true
		}
	}
	return at.IsZero()
}

// drawOps draws a transaction, or a unit of several, behind an LSN.
func drawOps(t *rapid.T, lsn uint64, unit bool) stretch {
	s := stretch{unit: unit}
	kinds, txns := []change.Kind{change.Insert}, 1
	if unit {
		kinds = []change.Kind{change.Insert, change.Update, change.Delete, change.Upsert, change.Discard}
		txns = rapid.IntRange(1, 3).Draw(t, "transactions of the unit")
	}
	for range txns {
		lsn += rapid.Uint64Range(1, 50).Draw(t, "distance")
		at := uint64(0)
		for range rapid.IntRange(0, 8/txns).Draw(t, "ops") {
			at += rapid.Uint64Range(1, 4).Draw(t, "step")
			s.ops = append(s.ops, histOp{lsn, lsn * 10, at, rapid.SampledFrom(kinds).Draw(t, "kind")})
		}
		s.marker = histOp{lsn: lsn, xid: lsn * 10, index: at + 2}
	}
	return s
}

// drawDeferred draws transactions that a unit has deferred: they come behind it
// under its LSN.
func drawDeferred(t *rapid.T, unit *stretch, lsn uint64) []stretch {
	var deferred []stretch
	var lsns []change.LSN
	marker := unit.marker
	for range rapid.IntRange(0, 2).Draw(t, "deferred") {
		if lsn++; lsn >= unit.marker.lsn {
			break
		}
		lsns = append(lsns, change.LSN(lsn))
		s := stretch{}
		at := marker.index
		for range rapid.IntRange(0, 3).Draw(t, "ops") {
			at += 2
			s.ops = append(s.ops, histOp{marker.lsn, lsn, at, change.Insert})
		}
		marker.index, marker.xid = at+2, lsn
		s.marker = marker
		deferred = append(deferred, s)
	}
	unit.deferred = lsns
	for i := range deferred {
		deferred[i].deferred = lsns[i+1:]
	}
	return deferred
}

// after is what a reader must get behind an offset, but for what is aborted; nil
// means all.
func (h history) after(from *change.Offset) []string {
	var want []string
	if from == nil {
		want = append(want, fmt.Sprintf("begin snapshot %d rows", h.snapshot))
		for i := range h.snapshot {
			want = append(want, fmt.Sprintf("0_0 insert id=%d,note=s,part=x", i))
		}
		want = append(want, fmt.Sprintf("commit snapshot %d", h.snapshot))
		from = &change.Offset{}
	}
	for _, s := range h.stretches {
		if s.aborted || !from.Before(s.marker.at()) {
			continue
		}
		var lines []string
		first := s.marker
		for _, op := range s.ops {
			if !from.Before(op.at()) {
				continue
			}
			if len(lines) == 0 {
				first = op
			}
			lines = append(lines, op.line())
		}
		begin := fmt.Sprintf("begin %d xid %d at %d", first.lsn, first.xid, first.lsn*1000)
		if s.unit {
			begin += " unit"
		}
		want = append(append(want, begin), lines...)
		want = append(want, fmt.Sprintf("commit %s %d", s.marker.at(), len(lines)))
	}
	return want
}

// write lays the history out: cut says after which entries a message ends, big
// which rows are larger than a message may be.
func (h history) write(l *shapeLog, cut, big func() bool) {
	rows := make([][]string, h.snapshot)
	for i := range rows {
		rows[i] = []string{fmt.Sprint(i), "s", "x"}
	}
	l.snapshot(2, rows...)
	open := true
	end := func() {
		if open && cut() {
			l.write()
			open = false
		}
	}
	end()
	ops := func(s stretch) {
		l.unit = s.unit
		for _, op := range s.ops {
			note := "n"
			if big() {
				note = strings.Repeat("n", bigValue)
			}
			l.opOf(op.lsn, op.xid, op.index, op.kind, op.row(note)...)
			open = true
			end()
		}
	}
	for _, s := range h.stretches {
		ops(s)
		if s.aborted {
			l.abort()
		} else {
			l.commitOf(s.marker.lsn, s.marker.xid, s.marker.index)
			l.tail.Deferred = wire.FormatDeferred(s.deferred)
		}
		open = true
		end()
	}
	ops(h.open)
	if open {
		l.write()
	}
}

// counting leaves out what was taken back, and counts how often that was.
func counting(lines []string) (counts []string, aborts int, err error) {
	begin, committed := -1, ""
	for _, line := range lines {
		what, at, _ := strings.Cut(line, " ")
		switch what {
		case "begin":
			if begin >= 0 {
				return nil, 0, fmt.Errorf("%q inside a transaction", line)
			}
			begin = len(counts)
		case "commit":
			begin = -1
			committed, _, _ = strings.Cut(at, " ")
			if committed == "snapshot" {
				committed = "0_0"
			}
		case "abort":
			if begin < 0 || committed != "" && at != committed {
				return nil, 0, fmt.Errorf("%q behind the commit at %s", line, committed)
			}
			counts, begin = counts[:begin], -1
			aborts++
			continue
		}
		counts = append(counts, line)
	}
	if begin >= 0 {
		return nil, 0, fmt.Errorf("%q stands open", counts[begin])
	}
	return counts, aborts, nil
}
