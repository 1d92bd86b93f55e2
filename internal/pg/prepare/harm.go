package prepare

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/change"
)

// Harm is why Postgres refuses UPDATE and DELETE on a table, or on one leaf of it: it checks the
// replica identity against every publication that carries the table, and the application's
// statement fails.
type Harm struct {
	Table       uint32 // oid of the table that was asked about
	Leaf        uint32 // oid of what it concerns: the table, or a leaf of it
	Publication string // the one that does not go with the identity
	Owner       string // of the publication
	Relation    string // the leaf's name, for people
	Kind        HarmKind
	Columns     []string // of the generated kinds
}

// HarmKind is a way in which a publication and a replica identity do not go together.
type HarmKind string

// The kinds of harm.
const (
	// HarmColumnList: FULL and a column list, whatever columns it has (Postgres 15 on).
	HarmColumnList HarmKind = "column list"
	// HarmGenerated: FULL and stored generated columns that the publication leaves out (18 on).
	HarmGenerated HarmKind = "generated"
	// HarmVirtual: FULL and virtual generated columns, which no publication can carry (18 on).
	HarmVirtual HarmKind = "virtual"
	// HarmNoIdentity: an identity that names no row, as that of a new leaf without a primary key.
	HarmNoIdentity HarmKind = "no identity"
)

func (h Harm) String() string {
	switch h.Kind {
	case HarmColumnList:
		return fmt.Sprintf("publication %s has a column list that concerns %s, and Postgres refuses every UPDATE and DELETE where that meets REPLICA IDENTITY FULL",
			h.Publication, h.Relation)
	case HarmGenerated:
		return fmt.Sprintf("publication %s leaves out the generated column %s of %s, and Postgres refuses every UPDATE and DELETE where that meets REPLICA IDENTITY FULL",
			h.Publication, strings.Join(h.Columns, ", "), h.Relation)
	case HarmVirtual:
		return fmt.Sprintf("%s has the virtual generated column %s, and Postgres refuses every UPDATE and DELETE where that meets REPLICA IDENTITY FULL and a publication (%s)",
			h.Relation, strings.Join(h.Columns, ", "), h.Publication)
	case HarmNoIdentity:
		return fmt.Sprintf("%s is in publication %s without a replica identity, and Postgres refuses every UPDATE and DELETE of it", h.Relation, h.Publication)
	}
	return string(h.Kind)
}

// Fix is what a person can run to end the harm, "" where there is no one statement.
func (h Harm) Fix() string {
	switch h.Kind {
	case HarmColumnList:
		return fmt.Sprintf("ALTER PUBLICATION %s DROP TABLE … and ADD TABLE … without a column list, if its subscribers can do with all columns", pg.Ident(h.Publication))
	case HarmGenerated:
		return PublishStoredSQL(h.Publication)
	case HarmVirtual:
		return "ALTER TABLE … DROP COLUMN …, and add it as a STORED one"
	case HarmNoIdentity:
		return "ALTER TABLE … REPLICA IDENTITY FULL"
	}
	return ""
}

// needs is the refusal of a table on which FULL would do harm.
func (h Harm) needs(t *pg.TableInfo) error {
	if h.Kind == HarmVirtual {
		return &pg.UnsupportedError{Schema: t.Relation.Schema, Name: t.Relation.Name, Reason: fmt.Sprintf("cannot be prepared for shapes: %s; %s", h, h.Fix())}
	}
	return &pg.NeedsError{
		What:      fmt.Sprintf("table %s cannot be prepared for shapes: %s", t, h),
		As:        fmt.Sprintf("the owner of the publication (role %s)", h.Owner),
		Statement: h.Fix(),
	}
}

// harms finds what of the tables does harm, or would do with REPLICA IDENTITY FULL on the table and
// every leaf. publication is ours: where a table is not in it yet, it counts as if it was.
//
// It reads the catalog as Postgres' own check does (RelationBuildPublicationDesc), without a lock:
// partitions are checked one by one, each with the publications of its ancestors; with
// publish_via_partition_root it is the topmost ancestor in the publication whose list counts.
func harms(ctx context.Context, conn *pgx.Conn, oids []uint32, publication string, wouldBeFull bool) ([]Harm, error) {
	rows, err := conn.Query(ctx, harmSQL(pg.Major(conn)), oids, publication, wouldBeFull)
	if err != nil {
		return nil, fmt.Errorf("look for harm to the application's writes: %w", err)
	}
	var all []Harm
	var root, leaf uint32
	var schema, name, pubname, owner, identity string
	var unidentified, listed bool
	var stored, virtual []string
	_, err = pgx.ForEachRow(rows, []any{&root, &leaf, &schema, &name, &pubname, &owner, &identity, &unidentified, &listed, &stored, &virtual}, func() error {
		h := Harm{Table: root, Leaf: leaf, Publication: pubname, Owner: owner, Relation: pg.Display(schema, name)}
		full := wouldBeFull || identityOf(identity) == change.IdentityFull
		switch {
		case full && listed:
			h.Kind = HarmColumnList
		case full && len(virtual) > 0:
			h.Kind, h.Columns = HarmVirtual, virtual
		case full && len(stored) > 0:
			h.Kind, h.Columns = HarmGenerated, stored
		case !full && unidentified && pubname == publication: // without us it would be so, too, with any other
			h.Kind = HarmNoIdentity
		default:
			return nil
		}
		all = append(all, h)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for harm to the application's writes: %w", err)
	}
	return all, nil
}

// Harms finds the tables ($1 of LookupTables) on which Postgres refuses the application's UPDATE
// and DELETE because of what Shapebus prepared: the replica identity FULL, or the table's place in the
// publication.
func Harms(ctx context.Context, conn *pgx.Conn, oids []uint32, publication string) ([]Harm, error) {
	return harms(ctx, conn, oids, publication, false)
}

// harmSQL lists, for each leaf of the tables $1 and each publication that carries it, what may not go
// together. With $3 the publication $2 counts as one that carries all of them.
func harmSQL(major int) string {
	bySchema, columns, generated := "false", "NULL", "'s'"
	if major >= 15 {
		bySchema = "EXISTS (SELECT FROM pg_catalog.pg_publication_namespace s WHERE s.pnpubid = p.oid AND s.pnnspid = a.relnamespace)"
		columns = "m.prattrs::text"
	}
	if major >= 18 {
		generated = "p.pubgencols::text"
	}
	virtual := "a.attgenerated = 'v'"
	return strings.NewReplacer("%schema", bySchema, "%columns", columns, "%gencols", generated, "%virtual", virtual,
		"%checked", strconv.FormatBool(major >= 18)).Replace(`
WITH RECURSIVE tree(root, oid, kind) AS (
	SELECT c.oid, c.oid, c.relkind FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1::oid[])
	UNION ALL
	SELECT t.root, c.oid, c.relkind
	FROM tree t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid AND NOT i.inhdetachpending JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
	WHERE t.kind = 'p'
), up(root, leaf, oid, level) AS (
	SELECT root, oid, oid, 0 FROM tree WHERE kind = 'r'
	UNION ALL
	SELECT u.root, u.leaf, i.inhparent, u.level + 1
	FROM up u JOIN pg_catalog.pg_class c ON c.oid = u.oid AND c.relispartition JOIN pg_catalog.pg_inherits i ON i.inhrelid = u.oid
), carried(root, leaf, pub, level, attrs) AS (
	SELECT u.root, u.leaf, p.oid, u.level, %columns
	FROM up u JOIN pg_catalog.pg_class a ON a.oid = u.oid CROSS JOIN pg_catalog.pg_publication p
	LEFT JOIN pg_catalog.pg_publication_rel m ON m.prpubid = p.oid AND m.prrelid = u.oid
	WHERE (p.pubupdate OR p.pubdelete)
		AND (m.oid IS NOT NULL OR p.puballtables AND u.level = 0 OR %schema OR $3 AND p.pubname = $2 AND u.oid = u.root)
), pair AS (
	SELECT c.root, c.leaf, c.pub, p.puballtables,
		CASE WHEN p.pubviaroot THEN (pg_catalog.array_agg(c.attrs ORDER BY c.level DESC))[1]
			ELSE pg_catalog.max(c.attrs) FILTER (WHERE c.level = 0) END AS attrs
	FROM carried c JOIN pg_catalog.pg_publication p ON p.oid = c.pub GROUP BY c.root, c.leaf, c.pub, p.puballtables, p.pubviaroot
), found AS (
	SELECT pair.root, pair.leaf, n.nspname, c.relname, p.pubname, pg_catalog.pg_get_userbyid(p.pubowner) AS owner, c.relreplident::text AS identity,
		c.relreplident <> 'f' AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
			AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END) AS unidentified,
		pair.attrs IS NOT NULL AND NOT pair.puballtables AS listed,
		ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a WHERE %checked AND %gencols <> 's' AND a.attrelid = c.oid AND a.attnum > 0
			AND a.attgenerated = 's' AND NOT a.attisdropped ORDER BY a.attnum) AS stored,
		ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a WHERE %checked AND a.attrelid = c.oid AND a.attnum > 0
			AND %virtual AND NOT a.attisdropped ORDER BY a.attnum) AS virtual
	FROM pair JOIN pg_catalog.pg_class c ON c.oid = pair.leaf JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	JOIN pg_catalog.pg_publication p ON p.oid = pair.pub
)
SELECT root, leaf, nspname::text, relname::text, pubname::text, owner::text, identity, unidentified, listed, stored, virtual
FROM found WHERE unidentified OR listed OR stored <> '{}' OR virtual <> '{}' ORDER BY root, leaf, pubname`)
}
