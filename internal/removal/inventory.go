package removal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/prepare"
	"github.com/shapebus/shapebus/internal/pg/slots"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/topology"
)

// Inventory is what there is of a source.
type Inventory struct {
	Source      topology.Source
	Publication string
	Slot        string

	Shapes  int                     // records
	Streams []*jetstream.StreamInfo // those of buckets among them, in the order in which they go
	Tables  []*registry.Prepared    // that were made ready for shapes
	InSlot  slots.Info              // zero without a database
	InPub   *prepare.Publication    // nil if there is none, and without a database
	Running []string                // processes that are at work, as people know them

	js     jetstream.JetStream
	conn   *pgx.Conn // nil: Postgres is left as it is
	tables *registry.PreparedTables
}

// Look finds out what there is. publication and slot are those of a source whose record is not there any more. Without a
// connection to the database, nil, nothing is said of Postgres, and Remove leaves it as it is. One to a database that has not
// fed the source is an error: what there is to remove is elsewhere.
func Look(ctx context.Context, js jetstream.JetStream, conn *pgx.Conn, source topology.Source, publication, slot string) (*Inventory, error) {
	inv := &Inventory{Source: source, Publication: publication, Slot: slot, js: js, conn: conn}
	if err := inv.records(ctx); err != nil {
		return nil, err
	}
	streams := js.ListStreams(ctx)
	for info := range streams.Info() {
		if source.Owns(info.Config.Name) {
			inv.Streams = append(inv.Streams, info)
		}
	}
	if err := streams.Err(); err != nil {
		return nil, topology.Explain(fmt.Errorf("list streams: %w", err))
	}
	slices.SortFunc(inv.Streams, func(a, b *jetstream.StreamInfo) int { return inv.order(a.Config.Name, b.Config.Name) })
	if err := inv.postgres(ctx); err != nil {
		return nil, err
	}
	running, err := registry.Running(ctx, js, source)
	inv.Running = append(inv.Running, running...)
	return inv, err
}

// order has the buckets go last which a removal that was cut short needs when it is done again.
func (inv *Inventory) order(a, b string) int {
	rank := func(name string) int {
		switch name {
		case "KV_" + inv.Source.RelationBucket(): // what the tables were
			return 1
		case "KV_" + inv.Source.ShapeBucket(): // the source's own record
			return 2
		}
		return 0
	}
	if d := rank(a) - rank(b); d != 0 {
		return d
	}
	return strings.Compare(a, b)
}

// records reads what the buckets say.
func (inv *Inventory) records(ctx context.Context) error {
	shapes, err := registry.OpenShapes(ctx, inv.js, inv.Source)
	switch {
	case errors.Is(err, jetstream.ErrBucketNotFound):
	case err != nil:
		return topology.Explain(err)
	default:
		rec, err := shapes.Source(ctx)
		if err == nil {
			inv.Publication, inv.Slot = rec.Publication, rec.Slot
		} else if !errors.Is(err, registry.ErrNotFound) {
			return err
		}
		ids, err := shapes.IDs(ctx)
		if err != nil {
			return err
		}
		inv.Shapes = len(ids)
	}
	inv.tables, err = registry.OpenPrepared(ctx, inv.js, inv.Source)
	switch {
	case errors.Is(err, jetstream.ErrBucketNotFound):
		return nil
	case err != nil:
		return topology.Explain(err)
	}
	inv.Tables, err = inv.tables.All(ctx)
	return err
}

func (inv *Inventory) postgres(ctx context.Context) (err error) {
	if inv.conn == nil {
		return nil
	}
	if inv.InSlot, err = slots.Lookup(ctx, inv.conn, inv.Slot); err != nil {
		return err
	}
	if database := inv.conn.Config().Database; inv.InSlot.Exists && inv.InSlot.Database != database {
		return fmt.Errorf("replication slot %s is one of database %s, not of %s: give the URL of that one", inv.Slot, inv.InSlot.Database, database)
	}
	if err := inv.compare(ctx); err != nil {
		return err
	}
	if inv.InSlot.Active {
		inv.Running = append(inv.Running, fmt.Sprintf("ingest (process %d of Postgres reads replication slot %s)", inv.InSlot.ActivePID, inv.Slot))
	}
	inv.InPub, err = prepare.LookupPublication(ctx, inv.conn, inv.Publication)
	return err
}

// compare makes sure that the database is the one that has fed the source.
func (inv *Inventory) compare(ctx context.Context) error {
	fed, err := registry.Feeder(ctx, inv.js, inv.Source)
	if err != nil {
		return err
	}
	if inv.InSlot.Exists { // the database was renamed
		fed.Name = ""
	}
	found, err := pg.Identify(ctx, inv.conn.PgConn())
	if err != nil {
		return err
	}
	if err := fed.Admit(found); err != nil {
		return fmt.Errorf("%w: what Shapebus has put into the other one would stay there, and its slot would keep WAL. Give the URL of that one, or, if it is gone, --keep-postgres", err)
	}
	return nil
}

// Empty reports whether there is nothing of the source.
func (inv *Inventory) Empty() bool {
	return len(inv.Streams) == 0 && len(inv.Tables) == 0 && !inv.InSlot.Exists && inv.InPub == nil
}
