package pg

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/pkg/change"
)

// The kinds of table that a shape can be on, as pg_class.relkind spells them.
const (
	KindTable       byte = 'r'
	KindPartitioned byte = 'p'
)

// TableInfo is a table as the catalog describes it at one moment.
type TableInfo struct {
	// Relation is what the replication stream will say for the table: for a
	// partitioned table its root. It has the published columns only; see
	// ColumnInfo.Generated.
	Relation change.Relation
	// Columns are all live columns in their order, those that are not published included.
	Columns []ColumnInfo
	// PrimaryKey are the names in the order of the key; nil without one, or if it does not tell
	// rows apart at each moment of the stream. KeyFlaw then says why.
	PrimaryKey []string
	KeyFlaw    string `json:",omitempty"` // completes "its primary key …"
	Kind       byte   // KindTable or KindPartitioned
	Owner      string
	// RowSecurity says that policies are enabled on the table.
	RowSecurity bool
	// Partitions are the leaves below a partitioned table, at any depth, by oid.
	Partitions []PartitionInfo
	// PublishedIn names the publications that carry the table, of those asked for.
	PublishedIn []string

	Persistence byte         // pg_class.relpersistence; only 'p' is in the WAL
	PartitionOf string       // the parent, quoted, if the table is itself a partition
	Memberships []Membership // in which ways PublishedIn carry it

	// What follows only tells one state of the table from another; see Structure.

	Form    int    // catalogForm of the process that looked
	Parent  bool   // other tables inherit from it, and are no partitions
	KeyID   uint32 // oid of the primary key's constraint
	Storage uint32 // of a plain table: oid of its TOAST table; see ColumnInfo.Written
}

// catalogForm counts up when something new is looked at: what an earlier version stored says nothing of it.
const catalogForm = 2

// ColumnInfo is one column of a table.
type ColumnInfo struct {
	Name     string
	Type     uint32 // pg_type oid
	TypeMod  int32  // pg_attribute.atttypmod; -1 without one
	TypeName string // as format_type prints it, such as character varying(20)
	// Generated columns that are not in the stream: virtual ones, and stored ones where the
	// publications looked up do not carry them (before Postgres 18 none can).
	Generated bool
	// Deterministic is false for a column with a collation under which
	// different bytes can be equal.
	Deterministic bool
	// Enum has the labels of an enum in their order; nil for other types.
	Enum []string
	// Base is the type that a domain restricts, in the end; 0 for other types. Composite types, and domains over them, have attributes.
	Base      uint32 `json:",omitempty"`
	Composite bool   `json:",omitempty"`

	Number     int16  // pg_attribute.attnum
	Collation  uint32 // pg_collation oid
	TypeMake   string // how the type is made, if it is not built in; see typeRows.makeOf
	Expression string // which one a generated column has
	// Written is the transaction that wrote the column's catalog row, only where the table has
	// no TOAST table. ALTER TABLE that rewrites rows makes another TOAST table (VACUUM FULL and
	// CLUSTER do not), and where there is none the row is all that tells. It tells of SET DEFAULT and the like too.
	Written string `json:",omitempty"`
}

// PartitionInfo is a leaf of a partitioned table. Leaves carry the replica
// identity that decides what the stream says of old rows.
type PartitionInfo struct {
	OID          uint32
	Schema, Name string
	Identity     change.Identity

	LeafKind    byte // pg_class.relkind
	Persistence byte // pg_class.relpersistence

	Link    string // the transactions that attached it and what it is below of
	Storage string // as TableInfo.Storage, or a digest of what ColumnInfo.Written would be
	// File is the leaf's file, and Filed the transaction that wrote this into the catalog.
	// TRUNCATE makes a new file; see DiffFiles.
	File  uint32
	Filed string
}

// Membership is one way in which a publication carries a table. A publication
// can carry it in several ways at once.
type Membership struct {
	Publication string
	Via         string // "table", "schema" or "all"
	ID          uint32 // oid of the catalog row: new when the table leaves and comes back
	XID         string // the transaction that wrote that row
	Filter      string // row filter, as SQL
	Columns     string // column list, as attribute numbers
	Options     string // what the publication publishes, and via which relation
	Set         string // the transaction that wrote the publication's own catalog row
	Named       string // the transaction that last moved or renamed the table, if it is carried with its schema
}

// LookupTable reads a table by name. publications restricts PublishedIn, and with it
// Structure and Diff, to the publications named; with none, all of them count.
//
// Errors: *NotFoundError, with close names; *UnsupportedError for what cannot be
// a shape's table, such as views, foreign and unlogged tables, and partitions.
func LookupTable(ctx context.Context, conn *pgx.Conn, schema, name string, publications ...string) (*TableInfo, error) {
	var oid uint32
	var kind string
	err := conn.QueryRow(ctx, `
		SELECT c.oid, c.relkind::text
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = $2`, schema, name).Scan(&oid, &kind)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, notFound(ctx, conn, schema, name)
	}
	if err != nil {
		return nil, fmt.Errorf("look up table %s: %w", Display(schema, name), err)
	}
	if reason := unsupportedKind(schema, kind); reason != "" {
		return nil, &UnsupportedError{Schema: schema, Name: name, Reason: reason}
	}
	tables, err := LookupTables(ctx, conn, []uint32{oid}, publications...)
	if err != nil {
		return nil, err
	}
	t := tables[oid]
	if t == nil || t.Relation.Schema != schema || t.Relation.Name != name {
		return nil, notFound(ctx, conn, schema, name) // dropped or renamed a moment ago
	}
	return t, t.Supported()
}

// LookupTables reads tables by oid, in one round trip and at one moment, taking
// no locks that anybody waits for. Oids of tables that no longer exist are
// missing in the answer. A table that has become unsupported is in it; Diff
// says so. publications is as in LookupTable.
func LookupTables(ctx context.Context, conn *pgx.Conn, oids []uint32, publications ...string) (map[uint32]*TableInfo, error) {
	rows, err := conn.Query(ctx, tablesSQL(Major(conn)), oids, publications)
	if err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	docs, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	return readCatalog(docs)
}

// Published reports whether a publication carries the table at all.
func (t *TableInfo) Published(publication string) bool {
	for _, m := range t.Memberships {
		if m.Publication == publication {
			return true
		}
	}
	return false
}

// String is the table's name for people.
func (t *TableInfo) String() string { return Display(t.Relation.Schema, t.Relation.Name) }

// SQL is the table's quoted name.
func (t *TableInfo) SQL() string { return Qualified(t.Relation.Schema, t.Relation.Name) }

// From is the table in a FROM clause or as the object of a command: without
// inheritance children, whose rows the stream reports under their own names,
// but with partitions.
func (t *TableInfo) From() string {
	if t.Kind == KindPartitioned {
		return t.SQL()
	}
	return "ONLY " + t.SQL()
}

// OIDs are those of the table and its leaves.
func (t *TableInfo) OIDs() []uint32 {
	oids := []uint32{t.Relation.OID}
	for _, p := range t.Partitions {
		oids = append(oids, p.OID)
	}
	return oids
}

// Root is the table itself in the form of its leaves.
func (t *TableInfo) Root() PartitionInfo {
	r := t.Relation
	return PartitionInfo{OID: r.OID, Schema: r.Schema, Name: r.Name, Identity: r.Identity}
}

// MemberOf is the oid of the row by which the publication carries the table itself, 0 without one.
func (t *TableInfo) MemberOf(publication string) uint32 {
	for _, m := range t.Memberships {
		if m.Publication == publication && m.Via == "table" {
			return m.ID
		}
	}
	return 0
}
