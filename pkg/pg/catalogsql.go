package pg

import (
	"strings"

	"github.com/shapebus/shapebus/pkg/change"
)

// tablesSQL reads tables ($1: oids) with the publications named ($2: names, NULL or
// empty for all) as one JSON document a table. One statement is one snapshot:
// columns, keys, partitions and publications belong together.
//
// Partitions come from pg_inherits rather than pg_partition_tree, which locks
// them and so waits behind DDL.
func tablesSQL(major int) string {
	const member = `
			SELECT '%via' AS via, m.oid AS id, m.xmin::text AS xid, %filter AS filter, %columns AS columns
			FROM %from m WHERE %where`
	ways := []string{
		strings.NewReplacer("%via", "all", "%filter", "''", "%columns", "''",
			"%from", "pg_catalog.pg_publication", "%where", "m.oid = p.oid AND m.puballtables").Replace(member),
	}
	filter, columns := "''", "''"
	if major >= 15 {
		filter, columns = "pg_catalog.pg_get_expr(m.prqual, m.prrelid)", "m.prattrs::text"
		ways = append(ways, strings.NewReplacer("%via", "schema", "%filter", "''", "%columns", "''",
			"%from", "pg_catalog.pg_publication_namespace", "%where", "m.pnpubid = p.oid AND m.pnnspid = c.relnamespace").Replace(member))
	}
	ways = append(ways, strings.NewReplacer("%via", "table", "%filter", filter, "%columns", columns,
		"%from", "pg_catalog.pg_publication_rel", "%where", "m.prpubid = p.oid AND m.prrelid = c.oid").Replace(member))
	generated, carried := "''", "false"
	if major >= 18 {
		generated = "p.pubgencols::text"
		carried = `a.attgenerated = 's' AND EXISTS (SELECT FROM pg_catalog.pg_publication p WHERE p.pubgencols = 's'
				AND (coalesce(pg_catalog.cardinality($2::text[]), 0) = 0 OR p.pubname = ANY ($2::text[])))`
	}
	return strings.NewReplacer("%members", strings.Join(ways, " UNION ALL "), "%generated", generated, "%carried", carried).Replace(`
SELECT pg_catalog.json_build_object(
	'oid', c.oid::bigint, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind, 'persistence', c.relpersistence,
	'identity', c.relreplident, 'row_security', c.relrowsecurity, 'owner', pg_catalog.pg_get_userbyid(c.relowner),
	'partition_of', CASE WHEN c.relispartition THEN (
		SELECT i.inhparent::pg_catalog.regclass::text FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid LIMIT 1) END,
	'columns', (
		SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', a.attname, 'type', a.atttypid::bigint,
			'type_mod', a.atttypmod, 'type_name', pg_catalog.format_type(a.atttypid, a.atttypmod), 'not_null', a.attnotnull,
			'generated', a.attgenerated <> '' AND NOT (%carried), 'deterministic', coalesce(l.collisdeterministic, true),
			'enum', (SELECT pg_catalog.json_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e WHERE e.enumtypid = a.atttypid)) ORDER BY a.attnum)
		FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
		WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
	'primary_key', (
		SELECT pg_catalog.json_agg(a.attname ORDER BY k.place)
		FROM pg_catalog.pg_index i
		CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place)
		JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
		WHERE i.indrelid = c.oid AND i.indisprimary AND k.place <= i.indnkeyatts),
	'partitions', CASE WHEN c.relkind = 'p' THEN (
		WITH RECURSIVE tree(oid) AS (
			SELECT c.oid
			UNION ALL
			SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent = tree.oid WHERE NOT i.inhdetachpending)
		SELECT pg_catalog.json_agg(pg_catalog.json_build_object('oid', s.oid::bigint, 'schema', sn.nspname, 'name', s.relname,
			'kind', s.relkind, 'persistence', s.relpersistence, 'identity', s.relreplident) ORDER BY s.oid)
		FROM tree JOIN pg_catalog.pg_class s ON s.oid = tree.oid JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace
		WHERE s.relkind <> 'p') END,
	'memberships', (
		SELECT pg_catalog.json_agg(pg_catalog.json_build_object('publication', p.pubname, 'via', w.via, 'id', w.id::bigint,
			'xid', w.xid, 'filter', coalesce(w.filter, ''), 'columns', coalesce(w.columns, ''),
			'options', pg_catalog.concat_ws(',', CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update' END,
				CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END,
				CASE WHEN p.pubviaroot THEN 'via root' END, %generated)) ORDER BY p.pubname, w.via)
		FROM pg_catalog.pg_publication p CROSS JOIN LATERAL (%members) w
		WHERE coalesce(pg_catalog.cardinality($2::text[]), 0) = 0 OR p.pubname = ANY ($2::text[])))
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY ($1::oid[]) AND c.relkind IN ('r', 'p')`)
}

// tableRow is the JSON document of tablesSQL.
type tableRow struct {
	OID         uint32 `json:"oid"`
	Schema      string `json:"schema"`
	Name        string `json:"name"`
	Kind        string `json:"kind"`
	Persistence string `json:"persistence"`
	Identity    string `json:"identity"`
	RowSecurity bool   `json:"row_security"`
	Owner       string `json:"owner"`
	PartitionOf string `json:"partition_of"`
	Columns     []struct {
		Name          string   `json:"name"`
		Type          uint32   `json:"type"`
		TypeMod       int32    `json:"type_mod"`
		TypeName      string   `json:"type_name"`
		NotNull       bool     `json:"not_null"`
		Generated     bool     `json:"generated"`
		Deterministic bool     `json:"deterministic"`
		Enum          []string `json:"enum"`
	} `json:"columns"`
	PrimaryKey []string `json:"primary_key"`
	Partitions []struct {
		OID         uint32 `json:"oid"`
		Schema      string `json:"schema"`
		Name        string `json:"name"`
		Kind        string `json:"kind"`
		Persistence string `json:"persistence"`
		Identity    string `json:"identity"`
	} `json:"partitions"`
	Memberships []struct {
		Publication string `json:"publication"`
		Via         string `json:"via"`
		ID          uint32 `json:"id"`
		XID         string `json:"xid"`
		Filter      string `json:"filter"`
		Columns     string `json:"columns"`
		Options     string `json:"options"`
	} `json:"memberships"`
}

func (r *tableRow) table() *TableInfo {
	t := &TableInfo{
		Relation: change.Relation{
			OID: r.OID, Schema: r.Schema, Name: r.Name, Identity: change.Identity(letter(r.Identity)),
		},
		PrimaryKey:  r.PrimaryKey,
		Kind:        letter(r.Kind),
		Owner:       r.Owner,
		RowSecurity: r.RowSecurity,
		Persistence: letter(r.Persistence),
		PartitionOf: r.PartitionOf,
	}
	for _, c := range r.Columns {
		t.Columns = append(t.Columns, ColumnInfo(c))
		if !c.Generated {
			t.Relation.Columns = append(t.Relation.Columns, change.Column{Name: c.Name, Type: c.Type, TypeMod: c.TypeMod})
		}
	}
	for _, p := range r.Partitions {
		t.Partitions = append(t.Partitions, PartitionInfo{
			OID: p.OID, Schema: p.Schema, Name: p.Name, Identity: change.Identity(letter(p.Identity)),
			LeafKind: letter(p.Kind), Persistence: letter(p.Persistence),
		})
	}
	for _, m := range r.Memberships {
		t.Memberships = append(t.Memberships, Membership(m))
		if n := len(t.PublishedIn); n == 0 || t.PublishedIn[n-1] != m.Publication {
			t.PublishedIn = append(t.PublishedIn, m.Publication)
		}
	}
	return t
}

// letter is a "char" column's value; zero when it is empty.
func letter(s string) byte {
	if s == "" {
		return 0
	}
	return s[0]
}
