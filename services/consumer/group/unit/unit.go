// Package unit is what a unit has open: a snapshot that sees all that it must, with the proof of that, on a connection.
package unit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/pg/snapshots"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/group/conns"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
)

// Unit is a group's open unit: from the transaction whose verdict changed a
// set's members to the barrier that was written after its snapshot. What the members
// write meanwhile counts only with the unit's marker; see package reconcile. Owned by one goroutine.
type Unit struct {
	ID       string          // the barrier's payload
	Proof    changelog.Proof // of the snapshot
	Snapshot *snapshots.Snapshot
	Began    time.Time
	Trace    string // context of the trace of the transaction that it began with

	conn *conns.Conn
}

// Asked is what a unit's snapshot has to see, and where it is opened.
type Asked struct {
	ID        string
	Txn       reconcile.Txn        // that the unit begins with
	Standings []reconcile.Standing // of those that go through the unit
	Connect   func(ctx context.Context) (*conns.Conn, error)
	Soon      bool // give up with ErrUnseen rather than wait for long
}

var (
	// ErrNone is why there is no unit for a shape that has other things to do first. The next attempt may give one.
	ErrNone = errors.New("the shape has not come to the end of a unit for its fold")
	// ErrUnseen says that there is no snapshot yet which could be that of a unit.
	ErrUnseen = fmt.Errorf("%w: a commit is in its log that no snapshot sees yet", ErrNone)
)

// SeenWait is how long a unit that can be done without waits for a snapshot. A commit may stay unseen for hours, where a standby is away, and
// the shape would stand still for as long.
const SeenWait = time.Second

// Open opens a snapshot that sees the transaction and everything that stands, and waits until there is one. Not on the main loop.
func Open(ctx context.Context, l *live.Loop, asked Asked) (*Unit, error) {
	u := &Unit{ID: asked.ID, Began: time.Now()}
	var poll service.Poll // Postgres does not tell when a transaction becomes visible
	for n := 1; ; n++ {
		usable, err := u.open(ctx, l, asked, n)
		if err == nil && usable {
			return u, nil
		}
		if u.Snapshot != nil {
			u.Close(context.WithoutCancel(ctx))
			u.Snapshot = nil
		}
		if err == nil && asked.Soon && time.Since(u.Began) > SeenWait {
			err = ErrUnseen
		}
		if err == nil {
			err = poll.Wait(ctx)
		}
		if err != nil {
			return nil, err
		}
	}
}

// open opens the n-th snapshot for the unit, and reports whether this can use it.
func (u *Unit) open(ctx context.Context, l *live.Loop, asked Asked, n int) (usable bool, err error) {
	if u.conn, err = asked.Connect(ctx); err != nil {
		return false, err
	}
	look := l.Visibility.Look()
	defer look.Close()
	u.Proof.ID = fmt.Sprintf("%s/snapshot/%d", u.ID, n)
	if u.Snapshot, err = snapshots.OpenMarked(ctx, u.conn.Conn(), topology.BarrierPrefix, u.Proof.ID); err != nil {
		u.conn.Close()
		return false, err
	}
	u.Proof.LSN = u.Snapshot.Mark
	l.Cfg.Failpoint(failpoint.SnapshotOpen)
	err = l.OnMain(ctx, func(context.Context) error {
		l.Visibility.Prune(u.Snapshot.Snapshot)
		unseen, complete := l.Visibility.Unseen(look)
		usable = complete
		for _, standing := range asked.Standings {
			usable = usable && reconcile.Usable(u.Snapshot.Snapshot, asked.Txn, standing, unseen)
		}
		return nil
	})
	return usable, err
}

// Close gives the snapshot back.
func (u *Unit) Close(ctx context.Context) {
	if err := u.Snapshot.Close(ctx); err != nil {
		u.conn.Conn().Close(ctx) // it is broken, and the pool makes another
	}
	u.conn.Close()
}

// AwaitSeen waits until snapshots see all that the main loop had read when it was called, for SeenWait at most. Not on the main loop.
func AwaitSeen(ctx context.Context, l *live.Loop, conn *pgx.Conn) error {
	var upTo change.LSN
	var poll service.Poll
	for began := time.Now(); ; {
		seen := false
		err := l.Begin(ctx, conn, func(changelog.Place) {
			if upTo == 0 {
				upTo = l.Applied.LSN
			}
			oldest, some := l.Visibility.Floor()
			seen = !some || oldest.LSN > upTo
		})
		switch {
		case err != nil || seen:
			return err
		case time.Since(began) > SeenWait:
			return ErrUnseen
		}
		if err := poll.Wait(ctx); err != nil {
			return err
		}
	}
}
