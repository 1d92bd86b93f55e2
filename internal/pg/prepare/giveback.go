package prepare

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/change"
)

// GivenBack is what GiveBack did to a table.
type GivenBack struct {
	Left     bool     // it left the publication
	Restored []string // what has its replica identity back, by name
	// Kept says why FULL stayed although it was ours: somebody else has come to rely on it. "" if it did not.
	Kept string
}

// GiveBack puts a table back as it was: it takes it out of the publication and gives it and its
// leaves the replica identities that they had, in one transaction. Only what is still as
// EnsureTable left it is changed; what a person has changed since stays.
//
// confirm is called when nobody else can prepare the table any more (see Preparing), before anything
// changes; an error from it ends the work and is returned as it is. It has 15 s, then Postgres ends the session.
//
// In the end Postgres is asked whether the application's UPDATE and DELETE would pass: an identity
// that another publication has come to need is not put back.
//
// Errors: *LockedError, *NeedsError as of EnsureTable. Nothing is changed then.
func GiveBack(ctx context.Context, conn *pgx.Conn, publication string, p *Prior, lockTimeout time.Duration, confirm func(context.Context) error) (GivenBack, error) {
	if lockTimeout <= 0 {
		lockTimeout = DefaultLockTimeout
	}
	var out GivenBack
	var refused error
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, endIfSilent()); err != nil {
			return err
		}
		locks := lockWaits{deadline: time.Now().Add(lockTimeout)}
		if err := locks.run(ctx, tx, fmt.Sprintf("SELECT pg_catalog.pg_advisory_xact_lock(%d)", preparingLock|int64(p.OID))); err != nil {
			return err
		}
		if refused = confirm(ctx); refused != nil {
			return refused
		}
		g := &giveBack{tx: tx, publication: publication, prior: p}
		if err := g.look(ctx); err != nil {
			return err
		}
		locks.holding = false // the advisory lock is none that the application waits for
		var err error
		out, err = g.run(ctx, &locks)
		return err
	})
	switch {
	case err == nil:
		return out, nil
	case refused != nil:
		return GivenBack{}, refused
	}
	switch pg.SQLState(err) {
	case "42501":
		return GivenBack{}, &pg.NeedsError{
			What: fmt.Sprintf("this role may not put table %s back as it was before shapes (its replica identity, and its place in publication %s)", p, publication),
			As:   "the owner of the table, who must own the publication too, or a superuser", Statement: p.SQL(publication), Err: err,
		}
	case "55P03", "40P01":
		return GivenBack{}, &pg.LockedError{Table: p.String(), Timeout: lockTimeout, Err: err}
	}
	return GivenBack{}, fmt.Errorf("put table %s back as it was: %w", p, err)
}

// giveBack is the work on one table.
type giveBack struct {
	tx          pgx.Tx
	publication string
	prior       *Prior

	drop    string // the statement by which the table leaves the publication, "" if it need not
	restore []relation
	leaves  []relation // of the table now, or itself: what an application writes
}

// relation is a table or leaf as it is now.
type relation struct {
	oid    uint32
	name   string // quoted
	column string // one that may be set, quoted; "" without any
	back   string // the clause of its identity, of those that get one
}

// look finds what is still as it was left.
func (g *giveBack) look(ctx context.Context) error {
	oids := []uint32{g.prior.OID}
	for _, i := range g.prior.Identities {
		oids = append(oids, i.OID)
	}
	tables, err := pg.LookupTables(ctx, g.tx.Conn(), oids, g.publication)
	if err != nil {
		return err
	}
	if t := tables[g.prior.OID]; t != nil {
		member := t.MemberOf(g.publication)
		named := t.Relation.Schema == g.prior.Schema && t.Relation.Name == g.prior.Name
		if !named && (member == 0 || g.prior.Member != member) {
			return nil // in a database that was loaded again, another table may have the oid
		}
		if g.prior.Added && member != 0 && (g.prior.Member == 0 || g.prior.Member == member) {
			g.drop = fmt.Sprintf("ALTER PUBLICATION %s DROP TABLE %s", pg.Ident(g.publication), t.From())
		}
		if err := g.written(ctx, t); err != nil {
			return err
		}
	}
	for _, i := range g.prior.Identities {
		t := tables[i.OID]
		if t == nil || t.Relation.Identity != change.IdentityFull {
			continue
		}
		back, err := g.clause(ctx, i)
		if err != nil {
			return err
		}
		if back != "" {
			g.restore = append(g.restore, relation{oid: i.OID, name: t.SQL(), back: back})
		}
	}
	return nil
}

// clause is how an identity is written, "" if it cannot be had any more.
func (g *giveBack) clause(ctx context.Context, i PriorIdentity) (string, error) {
	switch identityOf(i.Identity) {
	case change.IdentityDefault:
		return "DEFAULT", nil
	case change.IdentityNothing:
		return "NOTHING", nil
	case change.IdentityIndex:
		var name string
		err := g.tx.QueryRow(ctx, `SELECT c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
			WHERE i.indexrelid = $1 AND i.indrelid = $2`, i.Index, i.OID).Scan(&name)
		if errors.Is(err, pgx.ErrNoRows) {
			return "", nil
		}
		return "USING INDEX " + pg.Ident(name), err
	case change.IdentityFull:
	}
	return "", nil
}

// written finds what an application's statements on the table write: itself, or its leaves.
func (g *giveBack) written(ctx context.Context, t *pg.TableInfo) error {
	rows, err := g.tx.Query(ctx, `
		SELECT c.oid, n.nspname::text, c.relname::text, coalesce((SELECT a.attname::text FROM pg_catalog.pg_attribute a
			WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity <> 'a' ORDER BY a.attnum LIMIT 1), '')
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid = ANY ($1::oid[]) AND c.relkind = 'r'`, t.OIDs())
	if err != nil {
		return err
	}
	var r relation
	var schema, name, column string
	_, err = pgx.ForEachRow(rows, []any{&r.oid, &schema, &name, &column}, func() error {
		r.name, r.column = pg.Qualified(schema, name), ""
		if column != "" {
			r.column = pg.Ident(column)
		}
		g.leaves = append(g.leaves, r)
		return nil
	})
	return err
}

// run changes the table. What it cannot put back without harm it leaves.
func (g *giveBack) run(ctx context.Context, locks *lockWaits) (out GivenBack, err error) {
	if err := locks.run(ctx, g.tx, g.drop); err != nil {
		return out, err
	}
	out.Left = g.drop != ""
	if len(g.restore) == 0 {
		return out, nil
	}
	sub, err := g.tx.Begin(ctx)
	if err != nil {
		return out, err
	}
	if err := g.identities(ctx, sub, locks); err != nil {
		return out, err
	}
	refusal, err := g.probe(ctx, sub)
	if err != nil {
		return out, err
	}
	if refusal == "" {
		out.Restored = g.names()
		return out, sub.Commit(ctx)
	}
	if err := sub.Rollback(ctx); err != nil {
		return out, err
	}
	full, err := g.probe(ctx, g.tx)
	if err != nil {
		return out, err
	}
	if full == "" {
		out.Kept = refusal
		return out, nil
	}
	// Postgres refuses either way, so it is not ours: as it was is right.
	out.Restored = g.names()
	return out, g.identities(ctx, g.tx, locks)
}

func (g *giveBack) identities(ctx context.Context, tx pgx.Tx, locks *lockWaits) error {
	for _, r := range g.restore {
		if err := locks.run(ctx, tx, fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY %s", r.name, r.back)); err != nil {
			return err
		}
	}
	return nil
}

func (g *giveBack) names() []string {
	names := make([]string, 0, len(g.restore))
	for _, r := range g.restore {
		names = append(names, r.name)
	}
	return names
}

// probe asks Postgres whether it would refuse UPDATE and DELETE, and why. EXPLAIN makes the checks of
// the statement and does nothing else.
func (g *giveBack) probe(ctx context.Context, tx pgx.Tx) (refusal string, err error) {
	for _, r := range g.leaves {
		statements := []string{"EXPLAIN DELETE FROM ONLY " + r.name}
		if r.column != "" {
			statements = append(statements, fmt.Sprintf("EXPLAIN UPDATE ONLY %s SET %s = %s", r.name, r.column, r.column))
		}
		for _, sql := range statements {
			sub, err := tx.Begin(ctx)
			if err != nil {
				return "", err
			}
			_, err = sub.Exec(ctx, sql)
			if back := sub.Rollback(ctx); back != nil {
				return "", errors.Join(err, back)
			}
			switch pg.SQLState(err) {
			case "55000", "42P10": // no replica identity; columns that it or the publication lacks
				return err.Error(), nil
			case "":
				if err != nil {
					return "", err
				}
			} // anything else, such as a privilege that is missing, says nothing about the identity
		}
	}
	return "", nil
}

// identityOf is the identity of pg_class.relreplident.
func identityOf(letter string) change.Identity {
	if letter == "" {
		return 0
	}
	return change.Identity(letter[0])
}

// SQL is GiveBack as statements for a person.
func (p *Prior) SQL(publication string) string {
	return fmt.Sprintf("BEGIN; ALTER PUBLICATION %s DROP TABLE %s; ALTER TABLE %s REPLICA IDENTITY DEFAULT; COMMIT (or another identity, and the same for its partitions)",
		pg.Ident(publication), pg.Qualified(p.Schema, p.Name), pg.Qualified(p.Schema, p.Name))
}
