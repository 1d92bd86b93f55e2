package pg

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Structure is the identity of all that a shape's rows, their texts, its key and what the
// stream tells of it depend on in the catalog: the relation, how its columns and their types
// are made, the primary key, the leaves, and the publications looked up. A change that is undone
// before anybody looks gives another one, since it is made of what the changing transactions left
// behind in the catalog. Two tables have the same Structure exactly if Diff finds nothing. 16 hex digits.
//
// What is harmless is not in it: statistics, defaults, constraints, indexes, privileges, and
// VACUUM FULL or CLUSTER of a plain table. The files of leaves are beside it; see DiffFiles.
func (t *TableInfo) Structure() string {
	d := newDigest()
	d.write(strconv.Itoa(t.Form), t.Relation.Fingerprint(), string(t.Kind), string(t.Persistence), t.PartitionOf,
		strconv.FormatBool(t.Parent), number(t.KeyID), t.KeyFlaw, number(t.Storage))
	d.write(t.PrimaryKey...)
	for _, c := range t.Columns {
		if !c.Generated {
			d.write(c.fields()...)
		}
	}
	for _, p := range t.Partitions {
		d.write(number(p.OID), string(p.Identity), string(p.LeafKind), string(p.Persistence), p.Link, p.Storage)
	}
	for _, m := range t.Memberships {
		d.write(m.fields()...)
	}
	return d.String()
}

// fields are the parts of a column that matter beside those in the relation.
func (c *ColumnInfo) fields() []string {
	return []string{strconv.Itoa(int(c.Number)), number(c.Collation), strconv.FormatBool(c.Deterministic), c.TypeMake, c.Expression, c.Written}
}

// fields are the parts of a membership that matter to a shape.
func (m Membership) fields() []string {
	return []string{m.Publication, m.Via, number(m.ID), m.Filter, m.Columns, m.Options, m.Set, m.Named}
}

func number(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// Diff says in words what changed from t to now, for the person whose shape
// ends because of it. It returns "" when nothing did; see Structure. now must
// have been looked up with the same publications; nil stands for a dropped table.
func (t *TableInfo) Diff(now *TableInfo) string {
	if now == nil {
		return fmt.Sprintf("table %s was dropped", t)
	}
	if t.Form != now.Form {
		return fmt.Sprintf("this version of Shapebus looks at table %s in another way than the one that made the shape", t)
	}
	if d := t.Relation.Diff(&now.Relation); d != "" {
		return d
	}
	switch {
	case t.Kind != now.Kind:
		return fmt.Sprintf("table %s changed between partitioned and not", t)
	case t.Persistence != now.Persistence && now.Persistence == 'u':
		return fmt.Sprintf("table %s became unlogged: its changes are no longer replicated", t)
	case t.Persistence != now.Persistence:
		return fmt.Sprintf("table %s became logged", t)
	case t.PartitionOf != now.PartitionOf && now.PartitionOf != "":
		return fmt.Sprintf("table %s was attached to %s as a partition", t, now.PartitionOf)
	case t.PartitionOf != now.PartitionOf:
		return fmt.Sprintf("table %s was detached from %s", t, t.PartitionOf)
	case t.Parent != now.Parent && now.Parent:
		return fmt.Sprintf("another table inherits from %s now", t)
	case t.Parent != now.Parent:
		return fmt.Sprintf("no table inherits from %s any more", t)
	case !slices.Equal(t.PrimaryKey, now.PrimaryKey):
		return fmt.Sprintf("primary key of %s changed from %s to %s", t, t.keyText(), now.keyText())
	case t.KeyID != now.KeyID, t.KeyFlaw != now.KeyFlaw:
		return fmt.Sprintf("primary key of %s was dropped and made again", t)
	}
	for _, diff := range []func(*TableInfo) string{t.diffColumns, t.diffPartitions, t.diffMemberships} {
		if d := diff(now); d != "" {
			return d
		}
	}
	return ""
}

// diffColumns compares columns that have the same names and types.
func (t *TableInfo) diffColumns(now *TableInfo) string {
	is := map[string]ColumnInfo{}
	for _, c := range now.Columns {
		is[c.Name] = c
	}
	for _, c := range t.Columns {
		d, ok := is[c.Name]
		switch {
		case c.Generated || !ok:
		case c.Number != d.Number:
			return fmt.Sprintf("column %s of %s was dropped and added again, or renamed", c.Name, t)
		case c.TypeMake != d.TypeMake:
			return fmt.Sprintf("type %s of column %s of %s was altered", c.TypeName, c.Name, t)
		case c.Collation != d.Collation, c.Deterministic != d.Deterministic:
			return fmt.Sprintf("column %s of %s changed its collation", c.Name, t)
		case c.Expression != d.Expression:
			return fmt.Sprintf("column %s of %s is generated in another way", c.Name, t)
		case c.Written != d.Written && t.Storage == now.Storage:
			return fmt.Sprintf("column %s of %s was altered, which may have rewritten its rows", c.Name, t)
		}
	}
	if t.Storage != now.Storage {
		return fmt.Sprintf("the rows of %s were rewritten by ALTER TABLE", t)
	}
	return ""
}

func (t *TableInfo) keyText() string {
	switch {
	case len(t.PrimaryKey) > 0:
		return "(" + strings.Join(t.PrimaryKey, ", ") + ")"
	case t.KeyFlaw != "":
		return "one that " + t.KeyFlaw
	}
	return "none"
}

func (t *TableInfo) diffPartitions(now *TableInfo) string {
	had := make(map[uint32]PartitionInfo, len(t.Partitions))
	for _, p := range t.Partitions {
		had[p.OID] = p
	}
	for _, p := range now.Partitions {
		old, ok := had[p.OID]
		name := Display(p.Schema, p.Name)
		switch {
		case !ok:
			return fmt.Sprintf("partition %s was attached to %s", name, t)
		case old.Identity != p.Identity:
			return fmt.Sprintf("replica identity of %s, a partition of %s, changed from %s to %s", name, t, old.Identity, p.Identity)
		case old.Persistence != p.Persistence, old.LeafKind != p.LeafKind:
			return fmt.Sprintf("partition %s of %s changed its kind of storage", name, t)
		case old.Link != p.Link:
			return fmt.Sprintf("partition %s of %s was detached and attached again", name, t)
		case old.Storage != p.Storage:
			return fmt.Sprintf("the rows of %s, a partition of %s, were rewritten by ALTER TABLE", name, t)
		}
		delete(had, p.OID)
	}
	for _, p := range t.Partitions {
		if _, gone := had[p.OID]; gone {
			return fmt.Sprintf("partition %s was detached from %s or dropped", Display(p.Schema, p.Name), t)
		}
	}
	return ""
}

func (t *TableInfo) diffMemberships(now *TableInfo) string {
	for _, name := range t.PublishedIn {
		if !now.Published(name) {
			return fmt.Sprintf("table %s left the publication %s", t, name)
		}
	}
	for _, name := range now.PublishedIn {
		if !t.Published(name) {
			return fmt.Sprintf("table %s entered the publication %s", t, name)
		}
	}
	for i, m := range now.Memberships {
		if i < len(t.Memberships) && t.Memberships[i].ID == m.ID && t.Memberships[i].Set != m.Set && t.Memberships[i].Options == m.Options {
			return fmt.Sprintf("publication %s was altered", m.Publication)
		}
		if i >= len(t.Memberships) || !slices.Equal(t.Memberships[i].fields(), m.fields()) {
			return fmt.Sprintf("publication %s carries table %s differently than before", m.Publication, t)
		}
	}
	if len(t.Memberships) != len(now.Memberships) {
		return fmt.Sprintf("table %s is carried by its publications differently than before", t)
	}
	return ""
}
