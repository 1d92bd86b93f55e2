package pg

import "strings"

// tablesSQL reads tables ($1: oids) with the publications named ($2: names, NULL or
// empty for all) as one JSON document a table, and one for each type of their columns that is
// not built in, with the types it is made of. One statement is one snapshot: columns,
// types, keys, partitions and publications belong together.
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
WITH RECURSIVE types(oid) AS (
	SELECT DISTINCT a.atttypid FROM pg_catalog.pg_attribute a
	WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid >= 16384
	UNION
	SELECT part.oid FROM types JOIN pg_catalog.pg_type y ON y.oid = types.oid CROSS JOIN LATERAL (` + partsOfType + `) part
	WHERE part.oid >= 16384)
SELECT pg_catalog.json_build_object(
	'oid', c.oid::bigint, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind, 'persistence', c.relpersistence,
	'identity', c.relreplident, 'row_security', c.relrowsecurity, 'owner', pg_catalog.pg_get_userbyid(c.relowner),
	'storage', c.reltoastrelid::bigint, 'row_type', y.xmin::text,
	'partition_of', CASE WHEN c.relispartition THEN (
		SELECT i.inhparent::pg_catalog.regclass::text FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid LIMIT 1) END,
	'parent', c.relkind = 'r' AND EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid),
	'columns', (
		SELECT pg_catalog.json_agg(pg_catalog.json_build_object('number', a.attnum, 'name', a.attname, 'type', a.atttypid::bigint,
			'type_mod', a.atttypmod, 'type_name', pg_catalog.format_type(a.atttypid, a.atttypmod),
			'collation', a.attcollation::bigint, 'deterministic', coalesce(l.collisdeterministic, true),
			'expression', CASE WHEN a.attgenerated <> '' THEN (
				SELECT d.oid || '@' || d.xmin FROM pg_catalog.pg_attrdef d WHERE d.adrelid = c.oid AND d.adnum = a.attnum) END,
			'generated', a.attgenerated <> '' AND NOT (%carried), 'written', CASE WHEN c.relkind = 'r' AND c.reltoastrelid = 0 THEN a.xmin::text END)
			ORDER BY a.attnum)
		FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
		WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
	'key', (
		SELECT pg_catalog.json_build_object('id', k.oid::bigint, 'deferrable', k.condeferrable, 'valid', i.indisvalid, 'columns', (
			SELECT pg_catalog.json_agg(a.attname ORDER BY place)
			FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY o(attnum, place)
			JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = o.attnum))
		FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_index i ON i.indexrelid = k.conindid
		WHERE k.conrelid = c.oid AND k.contype = 'p'),
	'partitions', CASE WHEN c.relkind = 'p' THEN (
		WITH RECURSIVE tree(oid, link) AS (
			SELECT c.oid, ''
			UNION ALL
			SELECT i.inhrelid, tree.link || i.xmin || '/' FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent = tree.oid
			WHERE NOT i.inhdetachpending)
		SELECT pg_catalog.json_agg(pg_catalog.json_build_object('oid', s.oid::bigint, 'schema', sn.nspname, 'name', s.relname,
			'kind', s.relkind, 'persistence', s.relpersistence, 'identity', s.relreplident, 'link', tree.link,
			'file', s.relfilenode::bigint, 'filed', s.xmin::text,
			'storage', CASE WHEN s.reltoastrelid <> 0 THEN s.reltoastrelid::text ELSE 'columns ' || (
				SELECT pg_catalog.hashtextextended(pg_catalog.string_agg(a.xmin::text, ',' ORDER BY a.attnum), 0)
				FROM pg_catalog.pg_attribute a WHERE a.attrelid = s.oid AND a.attnum > 0 AND NOT a.attisdropped) END) ORDER BY s.oid)
		FROM tree JOIN pg_catalog.pg_class s ON s.oid = tree.oid JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace
		WHERE s.relkind <> 'p') END,
	'memberships', (
		SELECT pg_catalog.json_agg(pg_catalog.json_build_object('publication', p.pubname, 'via', w.via, 'id', w.id::bigint,
			'xid', w.xid, 'filter', coalesce(w.filter, ''), 'columns', coalesce(w.columns, ''), 'set', p.xmin::text,
			'options', pg_catalog.concat_ws(',', CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update' END,
				CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END,
				CASE WHEN p.pubviaroot THEN 'via root' END, %generated)) ORDER BY p.pubname, w.via)
		FROM pg_catalog.pg_publication p CROSS JOIN LATERAL (%members) w
		WHERE coalesce(pg_catalog.cardinality($2::text[]), 0) = 0 OR p.pubname = ANY ($2::text[])))
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_catalog.pg_type y ON y.oid = c.reltype
WHERE c.oid = ANY ($1::oid[]) AND c.relkind IN ('r', 'p')
UNION ALL
SELECT pg_catalog.json_build_object('custom_type', y.oid::bigint, 'name', n.nspname || '.' || y.typname,
	'composite', y.typtype = 'c', 'base', y.typbasetype::bigint,
	'made_of', (SELECT pg_catalog.json_agg(part.oid::bigint ORDER BY part.place, part.oid) FROM (` + partsOfType + `) part),
	'attributes', (
		SELECT pg_catalog.json_agg(pg_catalog.concat_ws(' ', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attcollation) ORDER BY a.attnum)
		FROM pg_catalog.pg_attribute a WHERE y.typrelid <> 0 AND a.attrelid = y.typrelid AND a.attnum > 0 AND NOT a.attisdropped),
	'written', (SELECT pg_catalog.json_agg(e.oid || '@' || e.xmin ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e WHERE e.enumtypid = y.oid),
	'labels', (SELECT pg_catalog.json_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e WHERE e.enumtypid = y.oid))
FROM types JOIN pg_catalog.pg_type y ON y.oid = types.oid JOIN pg_catalog.pg_namespace n ON n.oid = y.typnamespace`)
}

// partsOfType are the types that a type y is made of: of an array's elements, of what a domain
// restricts, of a range's bounds, a multirange's ranges, and a composite type's attributes.
const partsOfType = `
		SELECT 0 AS place, y.typelem AS oid WHERE y.typelem <> 0
		UNION ALL SELECT 0, y.typbasetype WHERE y.typbasetype <> 0
		UNION ALL SELECT 0, r.rngsubtype FROM pg_catalog.pg_range r WHERE y.typtype = 'r' AND r.rngtypid = y.oid
		UNION ALL SELECT 0, r.rngtypid FROM pg_catalog.pg_range r WHERE y.typtype = 'm' AND r.rngmultitypid = y.oid
		UNION ALL SELECT a.attnum, a.atttypid FROM pg_catalog.pg_attribute a
			WHERE y.typrelid <> 0 AND a.attrelid = y.typrelid AND a.attnum > 0 AND NOT a.attisdropped`
