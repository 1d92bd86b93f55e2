package demo

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/slots"
)

// guest is the demo in a database that is not its own: alone there, tidy when it leaves, and careful that what it drops
// is what a demo made.
type guest struct {
	url  string
	lock *pgx.Conn // the session that holds the lock against a second demo
}

// schemaMark tells a schema that a demo made.
const schemaMark = "made by shapebus demo, which drops it"

// newGuest makes sure that there is one demo in the database, and removes what one left that was killed.
func newGuest(ctx context.Context, url string) (*guest, error) {
	conn, err := connect(ctx, url)
	if err != nil {
		return nil, err
	}
	g := &guest{url: url, lock: conn}
	if err = g.claim(ctx); err == nil {
		err = g.clear(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}
	return g, nil
}

func (g *guest) claim(ctx context.Context) error {
	var alone bool
	if err := g.lock.QueryRow(ctx, "SELECT pg_try_advisory_lock(hashtext($1))", schemaName).Scan(&alone); err != nil {
		return fmt.Errorf("lock the database for the demo: %w", err)
	}
	if !alone {
		return errors.New("another demo is running in this database; wait for it to end, or use another database")
	}
	var foreign bool
	err := g.lock.QueryRow(ctx, "SELECT count(*) > 0 FROM pg_namespace WHERE nspname = $1 AND obj_description(oid, 'pg_namespace') IS DISTINCT FROM $2",
		schemaName, schemaMark).Scan(&foreign)
	if err != nil {
		return fmt.Errorf("look for the demo's schema: %w", err)
	}
	if foreign {
		return fmt.Errorf("this database has a schema %s that no demo made, and the demo would drop it: rename it, or use another database", schemaName)
	}
	slot, err := slots.Lookup(ctx, g.lock, slotName)
	if err != nil {
		return err
	}
	if slot.Exists && (slot.Active || slot.Database != g.lock.Config().Database) {
		return fmt.Errorf("replication slot %s belongs to database %s of this server: a demo is running there, or was killed; if none is, run SELECT pg_drop_replication_slot(%s)",
			slotName, slot.Database, pg.Literal(slotName))
	}
	return nil
}

// clear drops all that a demo makes in a database.
func (g *guest) clear(ctx context.Context) error {
	errs := []error{slots.DropFreed(ctx, g.url, slotName)}
	conn, err := connect(ctx, g.url)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, sql := range []string{"DROP PUBLICATION IF EXISTS " + pg.Ident(publicationName), "DROP SCHEMA IF EXISTS " + pg.Ident(schemaName) + " CASCADE"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", sql, err))
		}
	}
	return errors.Join(append(errs, conn.Close(ctx))...)
}

// leave clears and lets the next demo in.
func (g *guest) leave(ctx context.Context) error {
	err := g.clear(ctx)
	if err != nil {
		err = fmt.Errorf("clean up the database, in which schema %s and replication slot %s may be left (run the demo again to remove them): %w", schemaName, slotName, err)
	}
	return errors.Join(err, g.lock.Close(ctx))
}
