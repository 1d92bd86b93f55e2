package prepare

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/change"
)

// Prior is what a table was before EnsureTable prepared it, for GiveBack. It names only what was
// changed.
type Prior struct {
	OID    uint32 `json:"oid"`
	Schema string `json:"schema"` // the name then, for people
	Name   string `json:"name"`
	// Added says that the table was put into the publication; Member is the oid of its row there, 0
	// while it is not known. A table that left and came back has another one.
	Added  bool   `json:"added,omitempty"`
	Member uint32 `json:"member,omitempty"`
	// Identities are those of the table and its leaves that were not FULL.
	Identities []PriorIdentity `json:"identities,omitempty"`
}

// PriorIdentity is the replica identity that a table or leaf had.
type PriorIdentity struct {
	OID      uint32 `json:"oid"`
	Identity string `json:"identity"`        // pg_class.relreplident
	Index    uint32 `json:"index,omitempty"` // oid of the index, if that was the identity
}

func (p *Prior) String() string { return pg.Display(p.Schema, p.Name) }

// Changes reports whether anything was, or is about to be, changed.
func (p *Prior) Changes() bool { return p.Added || len(p.Identities) > 0 }

// Knows reports whether the identity of a table or leaf was changed.
func (p *Prior) Knows(oid uint32) bool {
	for _, i := range p.Identities {
		if i.OID == oid {
			return true
		}
	}
	return false
}

// PriorTo adds to what is known of a table what EnsureTable would change now, and returns the
// table as it is. known is nil for a table that was never prepared.
//
// What is not FULL now was not left so by us: either it has not been changed yet or somebody has
// changed it since. So the newer identity counts, and so does the newer membership.
func PriorTo(ctx context.Context, conn *pgx.Conn, publication string, t *pg.TableInfo, known *Prior) (*Prior, *pg.TableInfo, error) {
	now, err := lookupAgain(ctx, conn, t, publication)
	if err != nil {
		return nil, nil, err
	}
	p := &Prior{}
	if known != nil {
		*p = *known
	}
	p.OID, p.Schema, p.Name = now.Relation.OID, now.Relation.Schema, now.Relation.Name
	if !now.Published(publication) {
		p.Added, p.Member = true, 0
	}
	indexes, err := identityIndexes(ctx, conn, now.OIDs())
	if err != nil {
		return nil, nil, err
	}
	changing := map[uint32]bool{}
	var add []PriorIdentity
	for _, r := range append([]pg.PartitionInfo{now.Root()}, now.Partitions...) {
		if r.Identity != change.IdentityFull {
			changing[r.OID] = true
			add = append(add, PriorIdentity{OID: r.OID, Identity: string(r.Identity), Index: indexes[r.OID]})
		}
	}
	for _, i := range p.Identities {
		if !changing[i.OID] {
			add = append(add, i)
		}
	}
	p.Identities = add
	return p, now, nil
}

func identityIndexes(ctx context.Context, conn *pgx.Conn, oids []uint32) (map[uint32]uint32, error) {
	rows, err := conn.Query(ctx, "SELECT indrelid, indexrelid FROM pg_catalog.pg_index WHERE indrelid = ANY ($1::oid[]) AND indisreplident", oids)
	if err != nil {
		return nil, fmt.Errorf("read replica identities: %w", err)
	}
	of := map[uint32]uint32{}
	var table, index uint32
	if _, err = pgx.ForEachRow(rows, []any{&table, &index}, func() error { of[table] = index; return nil }); err != nil {
		return nil, fmt.Errorf("read replica identities: %w", err)
	}
	return of, nil
}

// preparingLock is an advisory lock of the database for each table: whoever prepares a table or gives
// it back has it, from before what is noted about the table until what is done to it is committed.
const preparingLock = int64(0x53686270) << 32 // "Shbp"

// Preparing runs f while nobody else prepares the table or gives it back. conn must not be in a
// transaction.
//
// Errors: *LockedError when somebody did not end in time; those of f.
func Preparing(ctx context.Context, conn *pgx.Conn, t *pg.TableInfo, timeout time.Duration, f func() error) error {
	key := preparingLock | int64(t.Relation.OID)
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { // a lock of the session; the transaction is for its time limit
		_, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", max(1, timeout.Milliseconds())))
		if err == nil {
			_, err = tx.Exec(ctx, "SELECT pg_catalog.pg_advisory_lock($1)", key)
		}
		return err
	})
	if pg.SQLState(err) == "55P03" {
		return &pg.LockedError{Table: t.String(), Timeout: timeout, Holders: []string{"another process of Shapebus prepares it or gives it back"}, Err: err}
	}
	if err != nil {
		return fmt.Errorf("prepare table %s: %w", t, err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if _, err := conn.Exec(ctx, "SELECT pg_catalog.pg_advisory_unlock($1)", key); err != nil {
			conn.Close(ctx) // which lets go of it, too
		}
	}()
	return f()
}
