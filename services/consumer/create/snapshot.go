package create

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/snapshots"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// snapshotOf is the snapshot that shapes of one table share.
type snapshotOf struct {
	held  change.Snapshot
	start changelog.Place // where they begin to read the change log
	table *pg.TableInfo
	proof *changelog.Awaited
	mark  change.LSN // see snapshots.Snapshot
}

// handOnAfter is how long a shape's rows may take before the shapes that were
// ready before it go on without it, and those behind it go into another batch.
const handOnAfter = 200 * time.Millisecond

// snapshot reads the members' rows, one after the other in one snapshot, and
// begins their logs. done is given those that are through with it, in groups.
func (b *batch) snapshot(ctx context.Context, members []*Parked, done func([]*Parked)) error {
	snap, open, members, err := b.open(ctx, members)
	if err != nil || len(members) == 0 {
		return err
	}
	proven, forget := b.prove(ctx, members, snap)
	defer forget()
	rows := make(chan []*Parked, len(members))
	failed := make(chan error, 1)
	go func() {
		defer close(rows)
		failed <- b.copyAll(ctx, members, snap, open, rows)
	}()
	// What the shapes before a large one are waiting for does not wait for it.
	for ready := range rows {
		var good []*Parked
		err := proven()
		if err == nil {
			good, err = b.begin(ctx, ready, snap)
		} else {
			err = concludeAll(ctx, ready, err)
		}
		if err != nil {
			for _, p := range members { // the session is over
				p.cancel(err)
			}
			return errors.Join(err, <-failed)
		}
		if len(good) > 0 {
			for _, p := range good {
				held := snap.held
				p.f.Held, p.f.Files, p.f.FilesAt = &held, snap.table, held.LSN
			}
			done(good)
		}
	}
	err = <-failed
	if errors.Is(proven(), changelog.ErrUnproven) {
		b.disconnect(ctx)
		b.s.Postgres.Reconnect()
	}
	return err
}

// prove begins to look for the proof that the change log goes on with what the snapshot saw, while its rows
// are read: nothing that a lost server alone had comes into a log. proven waits until that is decided.
func (b *batch) prove(ctx context.Context, members []*Parked, snap *snapshotOf) (proven func() error, forget func()) {
	waiting, cancel := whileAny(ctx, members)
	decided := make(chan error, 1)
	go func() { decided <- b.s.Prove(waiting, snap.proof, snap.mark) }()
	proven = sync.OnceValue(func() error { return <-decided })
	return proven, func() {
		cancel()
		_ = proven()
		b.s.Forget(ctx, snap.proof)
	}
}

// open makes the table ready and opens a snapshot of it. It returns the
// members that are still in the batch, none after an error that they share.
func (b *batch) open(ctx context.Context, members []*Parked) (*snapshotOf, *snapshots.Snapshot, []*Parked, error) {
	fail := func(err error) (*snapshotOf, *snapshots.Snapshot, []*Parked, error) {
		b.disconnect(ctx)
		return nil, nil, nil, concludeAll(ctx, members, err)
	}
	if b.conn == nil || b.conn.IsClosed() {
		conn, err := pg.Connect(ctx, b.s.Postgres.Config)
		if err != nil {
			return fail(err)
		}
		b.conn = conn
	}
	d := members[0].rec.Definition
	table, err := b.s.Fence(ctx, b.conn, d.Schema, d.Table)
	if err != nil {
		return fail(err)
	}
	structure := table.Structure()
	members, err = each(ctx, members, func(p *Parked) error {
		if structure != p.rec.Structure {
			return &live.FinalError{Err: errors.New(live.TableChanged(p.f.Table, table))}
		}
		return nil
	})
	if err != nil || len(members) == 0 {
		return nil, nil, nil, err
	}
	start, proof, err := b.pin(ctx, members)
	if err != nil {
		return fail(err)
	}
	open, err := snapshots.OpenMarked(ctx, b.conn, topology.BarrierPrefix, proof.ID)
	if err != nil {
		b.s.Forget(ctx, proof)
		return fail(err)
	}
	b.s.Cfg.Failpoint(failpoint.SnapshotOpen)
	// What is wrong with the table is wrong for all of them, so they learn it together.
	if err := open.Guard(ctx, table); err != nil {
		b.s.Forget(ctx, proof)
		return fail(errors.Join(live.FinalIfPermanent(err), open.Close(context.WithoutCancel(ctx))))
	}
	return &snapshotOf{held: open.Snapshot, start: start, table: table, proof: proof, mark: open.Mark}, open, members, nil
}

// pin finds where the members start to read the change log: at the oldest
// transaction that a snapshot taken from now on may not see. It keeps the
// change log from being trimmed there, and has the main loop look for the snapshot's proof.
func (b *batch) pin(ctx context.Context, members []*Parked) (start changelog.Place, proof *changelog.Awaited, err error) {
	err = b.s.Begin(ctx, b.conn, func(at changelog.Place) {
		start = at
		for _, p := range members {
			if b.s.HeldBy(p.ID, p) { // else its id has a new incarnation
				b.s.Pin(p.ID, start)
			}
		}
		proof = b.s.Expect()
	})
	return start, proof, err
}

// copyAll reads the members' rows in the snapshot and closes it. It sends the
// members on in groups. It concludes a member that fails, and gives back those behind one
// that fails, as the snapshot fails with it, or takes long.
func (b *batch) copyAll(ctx context.Context, members []*Parked, snap *snapshotOf, open *snapshots.Snapshot, done chan<- []*Parked) error {
	var ready []*Parked
	handOn := func() {
		if len(ready) > 0 {
			done <- ready
			ready = nil
		}
	}
	for began := time.Now(); len(members) > 0; {
		p := members[0]
		members = members[1:]
		copying := make(chan error, 1)
		go func() {
			var err error
			p.copied, err = p.copyRows(p.ctx, open, snap.table)
			copying <- err
		}()
		slow := time.NewTimer(handOnAfter)
		var err error
		select {
		case err = <-copying:
		case <-slow.C:
			handOn()
			if err := concludeAll(ctx, members, errAgain); err != nil {
				p.cancel(err)
				return errors.Join(err, <-copying)
			}
			members = nil
			err = <-copying
		}
		slow.Stop()
		b.s.Cfg.Failpoint(failpoint.RowsRead)
		if err != nil {
			b.disconnect(ctx)
			p.alone = true
			handOn()
			return errors.Join(p.conclude(ctx, err), concludeAll(ctx, members, errAgain))
		}
		ready = append(ready, p)
		if time.Since(began) > handOnAfter {
			handOn()
			began = time.Now()
		}
	}
	handOn()
	if err := open.Close(context.WithoutCancel(ctx)); err != nil {
		b.disconnect(ctx)
	}
	return nil
}

// copyRows writes the shape's rows into a segment. Every attempt has a segment
// of its own: a process that slept through the end of its lease must not spoil
// its successor's.
func (p *Parked) copyRows(ctx context.Context, snap *snapshots.Snapshot, table *pg.TableInfo) (shapelog.Copied, error) {
	w := p.s.NewSegment(p.rec, p.writer)
	rows := int64(0)
	_, err := snap.CopyRows(ctx, table, p.rec.Definition.Columns, p.f.Pred.SQL(), func(row change.Row) error {
		if rows++; p.f.MostRows > 0 && rows > p.f.MostRows {
			return &live.FinalError{Err: errors.New(follow.TooManyRows(p.f.MostRows))}
		}
		return w.Add(ctx, row)
	})
	if err == nil {
		err = w.Send(ctx)
	}
	if err != nil {
		return shapelog.Copied{}, live.FinalIfPermanent(fmt.Errorf("snapshot of shape %s: %w", p.handle, err))
	}
	return w.Copied, nil
}
