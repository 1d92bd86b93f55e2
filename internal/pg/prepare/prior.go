package prepare

import (
	"context"
	"fmt"

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
