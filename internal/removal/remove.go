package removal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/prepare"
	"github.com/shapebus/shapebus/internal/pg/slots"
	"github.com/shapebus/shapebus/internal/registry"
)

// Remove removes what was found, and calls done with a line for each thing that is gone, and left with one for each that a
// person has to look after. It takes these steps, and whatever ends it, the next call goes on where it was:
//
//  1. tables are given back as they were, each with its record. If one cannot be, the rest waits for that, as nobody
//     would know any more what the table was.
//  2. the slot, which keeps WAL while it is there, and then the publication.
//  3. the streams, the buckets that the steps before need last.
func (inv *Inventory) Remove(ctx context.Context, lockTimeout time.Duration, done, left func(string)) error {
	if len(inv.Running) > 0 {
		return fmt.Errorf("source %s is in use: stop %s first", inv.Source, strings.Join(inv.Running, ", "))
	}
	if inv.conn != nil {
		if err := inv.giveBack(ctx, lockTimeout, done, left); err != nil {
			return err
		}
		if inv.InSlot.Exists {
			if err := slots.Drop(ctx, inv.conn, inv.Slot); err != nil {
				return err
			}
			done("replication slot " + inv.Slot)
		}
		if err := inv.dropPublication(ctx, done, left); err != nil {
			return err
		}
	}
	for _, s := range inv.Streams {
		if err := inv.js.DeleteStream(ctx, s.Config.Name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("delete stream %s: %w", s.Config.Name, err)
		}
		done("stream " + s.Config.Name)
	}
	return nil
}

func (inv *Inventory) giveBack(ctx context.Context, lockTimeout time.Duration, done, left func(string)) error {
	failed := 0
	for _, p := range inv.Tables {
		out, err := prepare.GiveBack(ctx, inv.conn, inv.Publication, &p.Prior, lockTimeout, func(ctx context.Context) error {
			p.Leaving = true
			return inv.tables.Put(ctx, p)
		})
		if err == nil {
			err = inv.tables.Delete(ctx, p)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			failed++
			left(fmt.Sprintf("table %s: %v", p, err))
			continue
		}
		done(fmt.Sprintf("what was changed of table %s", p))
		if out.Kept != "" {
			left(fmt.Sprintf("table %s keeps REPLICA IDENTITY FULL: another publication needs it (%s)", p, out.Kept))
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d tables could not be given back, so the source stays: mend that and give the command again, or leave Postgres as it is with --keep-postgres", failed, len(inv.Tables))
	}
	return nil
}

// dropPublication drops the publication if nothing is in it: what Shapebus has not put there is not Shapebus' to take.
func (inv *Inventory) dropPublication(ctx context.Context, done, left func(string)) error {
	if inv.InPub == nil {
		return nil
	}
	name := inv.Publication
	drop := "DROP PUBLICATION " + pg.Ident(name)
	var tables int
	err := inv.conn.QueryRow(ctx, "SELECT count(*) FROM pg_catalog.pg_publication_tables WHERE pubname = $1", name).Scan(&tables)
	if err != nil {
		return fmt.Errorf("read what is in publication %s: %w", name, err)
	}
	if tables > 0 || inv.InPub.AllTables {
		left(fmt.Sprintf("publication %s: tables are in it that somebody else has put there (%d); if nobody needs it: %s", name, tables, drop))
		return nil
	}
	switch _, err := inv.conn.Exec(ctx, drop); pg.SQLState(err) {
	case "42704": // somebody has been faster
		return nil
	case "42501":
		left(fmt.Sprintf("publication %s: it belongs to role %s; run as that role: %s", name, inv.InPub.Owner, drop))
		return nil
	default:
		if err != nil {
			return fmt.Errorf("drop publication %s: %w", name, err)
		}
	}
	done("publication " + name)
	return nil
}

// InPostgres are the statements by which a person removes what Remove leaves without a connection to the database.
func InPostgres(publication, slot string, tables []*registry.Prepared) []string {
	var all []string
	for _, p := range tables {
		all = append(all, p.SQL(publication))
	}
	return append(all, "SELECT pg_drop_replication_slot("+pg.Literal(slot)+")", "DROP PUBLICATION IF EXISTS "+pg.Ident(publication))
}
