package console

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shapebus/shapebus/pkg/control"
)

// Happening is something that happened to the source.
type Happening struct {
	Seq    uint64    `json:"seq"`
	At     time.Time `json:"at,omitzero"` // when it was seen; missing for what was there before
	Kind   string    `json:"kind"`        // shape, ended, partition, retry, problem, slot, fold or answer
	Tone   string    `json:"tone"`        // good, info, warn or bad
	Title  string    `json:"title"`
	Detail string    `json:"detail,omitempty"`
	Shape  string    `json:"shape,omitempty"` // handle
}

// maxHappened bounds what is remembered.
const maxHappened = 500

// compare says what happened between two looks at the source. before is nil at the first.
func compare(before, now *control.Status) []Happening {
	var out []Happening
	if before == nil {
		for _, d := range now.Down {
			out = append(out, downBegins(d))
		}
		for _, p := range now.Problems {
			out = append(out, Happening{Kind: "problem", Tone: "bad", Title: "Somebody has to mend something", Detail: p})
		}
		return out
	}
	out = append(out, owners(before.Owners, now.Owners)...)
	out = append(out, downs(before.Down, now.Down)...)
	for _, p := range now.Problems {
		if !slices.Contains(before.Problems, p) {
			out = append(out, Happening{Kind: "problem", Tone: "bad", Title: "Somebody has to mend something", Detail: p})
		}
	}
	for _, p := range before.Problems {
		if !slices.Contains(now.Problems, p) {
			out = append(out, Happening{Kind: "problem", Tone: "good", Title: "A problem is over", Detail: p})
		}
	}
	return append(out, slot(before, now)...)
}

func slot(before, now *control.Status) []Happening {
	said := func(tone, title, detail string) []Happening {
		return []Happening{{Kind: "slot", Tone: tone, Title: title, Detail: detail}}
	}
	switch {
	case now.SlotError != "" && before.SlotError == "":
		return said("warn", "Postgres does not tell of the slot", now.SlotError)
	case now.SlotError != "":
		return nil
	case before.SlotError != "":
		return said("good", "Postgres tells of the slot again", "")
	case now.SlotLost != "" && before.SlotLost == "":
		return said("bad", "The slot is lost", now.SlotLost)
	case before.SlotActive && !now.SlotActive:
		return said("warn", "Nobody reads the slot", "ingest has stopped, or lost its connection; Postgres keeps WAL until one reads again")
	case !before.SlotActive && now.SlotActive:
		return said("good", "The slot is read", "")
	case now.SlotWALStatus != before.SlotWALStatus && now.SlotWALStatus == "unreserved":
		return said("bad", "The slot is in danger of being lost", "Postgres keeps more WAL for it than it is meant to")
	}
	return nil
}

// owners says which partitions went from whom to whom: several that went the same way are one
// hand-over.
func owners(before, now []control.PartitionOwner) []Happening {
	type way struct{ role, from, to string }
	went := map[way][]int{}
	var ways []way
	note := func(role, from, to string, partition int) {
		if from == to {
			return
		}
		w := way{role, from, to}
		if went[w] == nil {
			ways = append(ways, w)
		}
		went[w] = append(went[w], partition)
	}
	for _, n := range now {
		for _, b := range before {
			if b.Partition == n.Partition {
				note("consumer", b.Consumer, n.Consumer, n.Partition)
				note("materializer", b.Materializer, n.Materializer, n.Partition)
			}
		}
	}
	var out []Happening
	for _, w := range ways {
		h := Happening{Kind: "partition", Tone: "info"}
		which := partitions(went[w])
		switch {
		case w.to == "":
			h.Tone, h.Title = "warn", fmt.Sprintf("%s: no %s has %s", which, w.role, theirs(went[w]))
			h.Detail = w.from + " gave up"
		case w.from == "":
			h.Tone, h.Title, h.Detail = "good", which+" taken by a "+w.role, w.to
		default:
			h.Title, h.Detail = which+" handed over", fmt.Sprintf("%s: %s → %s", w.role, w.from, w.to)
		}
		out = append(out, h)
	}
	return out
}

func theirs(of []int) string {
	if len(of) == 1 {
		return "it"
	}
	return "them"
}

// partitions names them.
func partitions(of []int) string {
	if len(of) == 1 {
		return fmt.Sprintf("Partition %d", of[0])
	}
	names := make([]string, len(of))
	for i, n := range of {
		names[i] = strconv.Itoa(n)
	}
	return "Partitions " + strings.Join(names, ", ")
}

func downBegins(d control.PartitionDown) Happening {
	return Happening{Kind: "retry", Tone: "bad", Title: fmt.Sprintf("Partition %d cannot be written, and is tried again", d.Partition), Detail: d.Reason}
}

func downs(before, now []control.PartitionDown) []Happening {
	was := map[int]bool{}
	for _, d := range before {
		was[d.Partition] = true
	}
	var out []Happening
	for _, d := range now {
		if !was[d.Partition] {
			out = append(out, downBegins(d))
		}
		delete(was, d.Partition)
	}
	for _, d := range before {
		if was[d.Partition] {
			out = append(out, Happening{Kind: "retry", Tone: "good", Title: fmt.Sprintf("Partition %d is written again", d.Partition)})
		}
	}
	return out
}

// compareShapes says what happened to shapes between two looks at them. before is nil at the first,
// which tells what has ended until then.
func compareShapes(before, now *inventory) []Happening {
	var out []Happening
	for i := range now.shapes {
		s := &now.shapes[i]
		if before == nil {
			if s.State == control.StateEnded {
				out = append(out, ended(s))
			}
			continue
		}
		out = append(out, changed(before.byID[s.ID], s)...)
	}
	if before == nil || now.more || before.more {
		return out
	}
	for i := range before.shapes {
		if s := &before.shapes[i]; now.byID[s.ID] == nil && s.State != control.StateEnded {
			out = append(out, Happening{Kind: "ended", Tone: "info", Title: name(s) + " was deleted", Detail: s.Where, Shape: s.Handle})
		}
	}
	return out
}

// changed says what happened to one shape; was is nil if it is new.
func changed(was, s *item) []Happening {
	var out []Happening
	if was == nil || was.Handle != s.Handle {
		h := Happening{Kind: "shape", Tone: "info", Title: name(s) + " was made", Detail: s.Where, Shape: s.Handle}
		if was != nil {
			h.Title = name(s) + " was made again"
			h.Detail = was.Reason
		}
		out = append(out, h)
		was = &item{}
	}
	if s.State == control.StateEnded && was.State != control.StateEnded {
		out = append(out, ended(s))
	}
	if s.State == control.StateLive && was.State == control.StateCreating {
		out = append(out, Happening{Kind: "shape", Tone: "good", Title: name(s) + " is live", Detail: fmt.Sprintf("%d rows read", max(s.SnapshotRows, s.Rows)), Shape: s.Handle})
	}
	if s.State == control.StateCreating && s.Reason != "" && s.Reason != was.Reason {
		out = append(out, Happening{Kind: "retry", Tone: "warn", Title: name(s) + " waits to be made", Detail: s.Reason, Shape: s.Handle})
	}
	if was.ID != "" && s.Generation > was.Generation {
		out = append(out, Happening{Kind: "fold", Tone: "good", Title: "The log of " + name(s) + " was folded", Detail: fmt.Sprintf("generation %d", s.Generation), Shape: s.Handle})
	}
	if s.Fold != nil && s.Fold.Error != "" && (was.Fold == nil || was.Fold.Error != s.Fold.Error) {
		out = append(out, Happening{Kind: "retry", Tone: "warn", Title: "Folding the log of " + name(s) + " failed, and is tried again", Detail: s.Fold.Error, Shape: s.Handle})
	}
	return out
}

func ended(s *item) Happening {
	return Happening{Kind: "ended", Tone: "bad", Title: name(s) + " ended", Detail: s.Reason, Shape: s.Handle}
}

func name(s *item) string {
	if s.Inner {
		return "Inner shape of " + tableOf(&s.Shape)
	}
	return "Shape of " + tableOf(&s.Shape)
}
