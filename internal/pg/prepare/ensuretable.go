package prepare

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/change"
)

// DefaultLockTimeout is what EnsureTable waits for a table when it is told 0.
const DefaultLockTimeout = 5 * time.Second

// EnsureTable puts the table into the publication and gives it, and each leaf
// of a partitioned table, REPLICA IDENTITY FULL, and reports whether it had to
// change anything. After it returns without an error, every transaction that is
// not yet visible to new snapshots has all its changes of this table in the
// stream.
//
// That needs a lock: ALTER PUBLICATION takes no lock against writers, and what
// an open transaction wrote before it would be neither in the stream nor in a
// snapshot. So the table is locked first, which waits for those writers (and
// makes new ones wait, for half a second at a time; readers too if the
// identity changes), and the lock is kept until the one transaction of all this commits.
// Nobody waits when nothing has to change; then only writers older than a
// membership that somebody else added are waited for.
//
// A table on which FULL would make the application's UPDATE and DELETE fail is refused; see Harm.
//
// Errors: *NeedsError when the role may not or another publication is in the way, *UnsupportedError
// for a virtual generated column, *LockedError when the table did
// not become free in time. Nothing is changed then, and trying again is safe.
func EnsureTable(ctx context.Context, conn *pgx.Conn, publication string, t *pg.TableInfo, lockTimeout time.Duration) (changed bool, err error) {
	if lockTimeout <= 0 {
		lockTimeout = DefaultLockTimeout
	}
	now, ready, err := awaitReady(ctx, conn, publication, t, lockTimeout)
	if ready || err != nil {
		return false, err
	}
	err = inAttempts(ctx, lockTimeout, func(limit time.Duration) error { return ensureLocked(ctx, conn, publication, now, limit) })
	switch pg.SQLState(err) {
	case "":
		return err == nil, err
	case "42501":
		return false, needsOwner(publication, now, err)
	case "55P03", "40P01": // lock timeout, deadlock
		return false, &pg.LockedError{Table: now.String(), Timeout: lockTimeout, Holders: lockHolders(ctx, conn, now), Err: err}
	case "42704":
		return false, &pg.NeedsError{What: fmt.Sprintf("publication %s does not exist", publication), Statement: createPublicationSQL(pg.Major(conn), publication), Err: err}
	}
	return false, fmt.Errorf("put table %s into publication %s: %w", now, publication, err)
}

// Ready reports whether EnsureTable has nothing to change, and does what it does then: it waits for
// writers older than a membership that somebody else added.
func Ready(ctx context.Context, conn *pgx.Conn, publication string, t *pg.TableInfo, lockTimeout time.Duration) (bool, error) {
	if lockTimeout <= 0 {
		lockTimeout = DefaultLockTimeout
	}
	_, ready, err := awaitReady(ctx, conn, publication, t, lockTimeout)
	return ready && err == nil, err
}

func awaitReady(ctx context.Context, conn *pgx.Conn, publication string, t *pg.TableInfo, lockTimeout time.Duration) (now *pg.TableInfo, ready bool, err error) {
	if conn.PgConn().TxStatus() != 'I' {
		return nil, false, fmt.Errorf("put table %s into publication %s: the connection is in a transaction", t, publication)
	}
	if now, err = lookupAgain(ctx, conn, t, publication); err != nil {
		return nil, false, err
	}
	if err := RefuseHarm(ctx, conn, publication, now); err != nil {
		return nil, false, err
	}
	if !Prepared(now, publication) {
		return now, false, nil
	}
	return now, true, awaitEarlyWriters(ctx, conn, publication, now, lockTimeout)
}

// ensureLocked does the work in one transaction.
func ensureLocked(ctx context.Context, conn *pgx.Conn, publication string, t *pg.TableInfo, lockTimeout time.Duration) error {
	locks := lockWaits{deadline: time.Now().Add(lockTimeout)}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, endIfSilent()); err != nil {
			return err
		}
		// The root first: it keeps partitions from being attached, so that the
		// second look finds all of them.
		if err := locks.run(ctx, tx, lockSQL(publication, t, t.Root())); err != nil {
			return err
		}
		t, err := lookupAgain(ctx, conn, t, publication)
		if err != nil {
			return err
		}
		for _, leaf := range t.Partitions {
			if err := locks.run(ctx, tx, lockSQL(publication, t, leaf)); err != nil {
				return err
			}
		}
		// Behind the locks nobody else can name one of these tables in a publication.
		if err := RefuseHarm(ctx, conn, publication, t); err != nil {
			return err
		}
		// Somebody else may have added it while this transaction waited.
		if !t.Published(publication) {
			return locks.run(ctx, tx, addSQL(publication, t))
		}
		return usable(t, publication)
	})
}

// RefuseHarm returns an error if the application's writes would fail with REPLICA IDENTITY FULL, or
// if the publication carries the table only in part.
func RefuseHarm(ctx context.Context, conn *pgx.Conn, publication string, t *pg.TableInfo) error {
	if err := usable(t, publication); err != nil {
		return err
	}
	found, err := harms(ctx, conn, []uint32{t.Relation.OID}, publication, true)
	if err != nil || len(found) == 0 {
		return err
	}
	return found[0].needs(t)
}

// lookupAgain reads the table again by its oid and refuses it if it is gone,
// renamed or no longer supported.
func lookupAgain(ctx context.Context, conn *pgx.Conn, t *pg.TableInfo, publication string) (*pg.TableInfo, error) {
	oid := t.Relation.OID
	tables, err := pg.LookupTables(ctx, conn, []uint32{oid}, publication)
	if err != nil {
		return nil, err
	}
	now := tables[oid]
	switch {
	case now == nil:
		return nil, &pg.NotFoundError{Schema: t.Relation.Schema, Name: t.Relation.Name}
	case now.Relation.Schema != t.Relation.Schema || now.Relation.Name != t.Relation.Name:
		return nil, errors.New(t.Diff(now))
	}
	return now, now.Supported()
}

// Prepared reports whether the publication carries the table and every identity is full.
func Prepared(t *pg.TableInfo, publication string) bool {
	full := t.Relation.Identity == change.IdentityFull
	for _, p := range t.Partitions {
		full = full && p.Identity == change.IdentityFull
	}
	return full && t.Published(publication)
}

// usable refuses a table that the publication carries only in part: rows would
// leave and enter the stream without being deleted or inserted.
func usable(t *pg.TableInfo, publication string) error {
	var part string
	for _, m := range t.Memberships {
		if m.Publication != publication {
			continue
		}
		switch {
		case m.Filter != "":
			part = "a row filter"
		case m.Columns != "":
			part = "a column list"
		default:
			return nil // one membership in full wins over others
		}
	}
	if part == "" {
		return nil
	}
	return &pg.NeedsError{
		What: fmt.Sprintf("publication %s carries table %s with %s, and shapes need all of it", publication, t, part),
		As:   fmt.Sprintf("the owner of the publication and the table (role %s)", t.Owner),
		Statement: fmt.Sprintf("BEGIN; LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE; ALTER PUBLICATION %s DROP TABLE %s; %s; COMMIT",
			t.SQL(), pg.Ident(publication), t.From(), addSQL(publication, t)),
	}
}

// lockSQL is the statement that gives one relation its identity, or else locks
// it until the end of the transaction if the publication is about to change.
// It is never both: taking the stronger lock second could deadlock.
func lockSQL(publication string, t *pg.TableInfo, p pg.PartitionInfo) string {
	switch {
	case p.Identity != change.IdentityFull:
		return fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL", pg.Qualified(p.Schema, p.Name))
	case !t.Published(publication):
		return fmt.Sprintf("LOCK TABLE ONLY %s IN SHARE ROW EXCLUSIVE MODE", pg.Qualified(p.Schema, p.Name))
	}
	return ""
}

func addSQL(publication string, t *pg.TableInfo) string {
	return fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s", pg.Ident(publication), t.From())
}

// EnsureSQL is all of EnsureTable as statements for a person.
func EnsureSQL(publication string, t *pg.TableInfo) string {
	parts := []string{"BEGIN"}
	for _, p := range append([]pg.PartitionInfo{t.Root()}, t.Partitions...) {
		if sql := lockSQL(publication, t, p); sql != "" {
			parts = append(parts, sql)
		}
	}
	if !t.Published(publication) {
		parts = append(parts, addSQL(publication, t))
	}
	return strings.Join(append(parts, "COMMIT"), "; ")
}

// Unprepared says what the owner of a table has to run for shapes, where nobody else is to change it.
func Unprepared(publication string, t *pg.TableInfo) *pg.NeedsError {
	return &pg.NeedsError{
		What:      fmt.Sprintf("table %s is not prepared for shapes, and Shapebus was started so that it changes no table (--prepare-tables=false)", t),
		As:        fmt.Sprintf("the owner of the table (role %s), who must own the publication too, or a superuser", t.Owner),
		Statement: EnsureSQL(publication, t),
	}
}

func needsOwner(publication string, t *pg.TableInfo, err error) *pg.NeedsError {
	return &pg.NeedsError{
		What: fmt.Sprintf("this role may not prepare table %s for shapes (REPLICA IDENTITY FULL, and its place in publication %s)",
			t, publication),
		As:        fmt.Sprintf("the owner of the table (role %s), who must own the publication too, or a superuser", t.Owner),
		Statement: EnsureSQL(publication, t),
		Err:       err,
	}
}
