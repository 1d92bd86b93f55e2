package follow

import (
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// A shadow is the follower of an inner shape that another process writes: it finds out which commits change
// the shape's log, as that process does, from the same record and the same change log. It writes nothing.

// NewShadow makes a shadow from the shape's record. It says nothing of commits up to after.
func NewShadow(rec *registry.Shape, after change.LSN, changed func(handle string, at change.Offset)) (*Follower, error) {
	f, err := NewFollower(rec, shapelog.Log{Handle: rec.Handle, Partition: rec.Partition, Tail: wire.Tail{Began: true}, Shadow: true}, changed)
	if err != nil {
		return nil, err
	}
	f.After = after
	f.Inner.Store(true)
	return f, nil
}

// ShadowOf makes a shadow that goes on where a follower is, which is in no router any more. What the follower
// gathered must have been appended.
func ShadowOf(f *Follower) *Follower {
	s := &Follower{
		Log: shapelog.Log{Handle: f.Handle, Partition: f.Partition, Tail: f.Tail, Appended: f.Tail, Shadow: true},
		ID:  f.ID, Table: f.Table, Structure: f.Structure, Files: f.Files, Relation: f.Relation, Fingerprint: f.Fingerprint,
		Pred: f.Pred, Project: f.Project, key: f.key, After: f.After, Held: f.Held, changed: f.changed,
	}
	s.Inner.Store(true)
	return s
}
