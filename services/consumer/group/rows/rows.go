// Package rows reads in a snapshot the rows of shapes with subqueries.
package rows

import (
	"context"
	"errors"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/snapshots"
	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/follow"
)

// Copy gives the shape's columns of those rows that it has by its sets, of those that a condition finds in the snapshot. A row
// is valid until add returns.
func Copy(ctx context.Context, snap *snapshots.Snapshot, f *follow.Follower, table *pg.TableInfo, where string, sets []predicate.Set, add func(change.Row) error) error {
	picked := make(change.Row, len(f.Project))
	_, err := snap.CopyRows(ctx, table, Columns(table), where, func(row change.Row) error {
		if reason := f.Unordered(row); reason != "" {
			return &pg.ChangedError{Reason: reason}
		}
		if !f.Outer.Match(row, sets) {
			return nil
		}
		for i, c := range f.Project {
			picked[i] = row[c]
		}
		return add(picked)
	})
	return err
}

// Columns are the names of all columns of a table, as the change log has them.
func Columns(table *pg.TableInfo) []string {
	names := make([]string, 0, len(table.Relation.Columns))
	for _, c := range table.Relation.Columns {
		names = append(names, c.Name)
	}
	return names
}

// Where is the condition for the first rows of a shape with subqueries. The
// sets decide on each row, so it may be true of more rows than the clause, but
// not of fewer.
//
// Postgres evaluates the subqueries as of the snapshot, which is what the sets
// are as well; but sets of inner shapes with subqueries of their own may lag.
// And an inner table may have been truncated since the snapshot was opened, or be
// locked: then its subquery is not asked, and all rows that it decides on are read.
func Where(ctx context.Context, snap *snapshots.Snapshot, f *follow.Follower, rec *registry.Shape) (string, error) {
	if f.Outer.Nested() {
		return f.Pred.FixedSQL(), nil
	}
	for _, t := range rec.InnerTables {
		err := snap.Guard(ctx, t)
		_, locked := errors.AsType[*pg.LockedError](err)
		switch {
		case err == nil:
		case locked, errors.Is(err, pg.ErrSnapshotStale), pg.Permanent(err):
			return f.Pred.FixedSQL(), nil
		default:
			return "", err
		}
	}
	return f.Pred.SQL(), nil
}
