package pg

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Structure names everything about the table that a shape on it relies on:
// the relation, the primary key, the leaves with their identities, and the
// publications looked up. Two tables have the same Structure exactly if Diff
// finds nothing. 16 hex digits.
func (t *TableInfo) Structure() string {
	h := sha256.New()
	write := func(fields ...string) {
		h.Write([]byte(strconv.Itoa(len(fields)) + ";"))
		for _, s := range fields {
			h.Write([]byte(strconv.Itoa(len(s)) + ":" + s))
		}
	}
	write(t.Relation.Fingerprint(), string(t.Kind), string(t.Persistence), t.PartitionOf)
	write(t.PrimaryKey...)
	for _, p := range t.Partitions {
		write(strconv.FormatUint(uint64(p.OID), 10), string(p.Identity), string(p.LeafKind), string(p.Persistence))
	}
	for _, m := range t.Memberships {
		write(m.fields()...)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// fields are the parts of a membership that matter to a shape.
func (m Membership) fields() []string {
	return []string{m.Publication, m.Via, strconv.FormatUint(uint64(m.ID), 10), m.Filter, m.Columns, m.Options}
}

// Diff says in words what changed from t to now, for the person whose shape
// ends because of it. It returns "" when nothing did; see Structure. now must
// have been looked up with the same publications; nil stands for a dropped table.
func (t *TableInfo) Diff(now *TableInfo) string {
	if now == nil {
		return fmt.Sprintf("table %s was dropped", t)
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
	case !slices.Equal(t.PrimaryKey, now.PrimaryKey):
		return fmt.Sprintf("primary key of %s changed from %s to %s", t, keyText(t.PrimaryKey), keyText(now.PrimaryKey))
	}
	if d := t.diffPartitions(now); d != "" {
		return d
	}
	return t.diffMemberships(now)
}

func keyText(columns []string) string {
	if len(columns) == 0 {
		return "none"
	}
	return "(" + strings.Join(columns, ", ") + ")"
}

func (t *TableInfo) diffPartitions(now *TableInfo) string {
	had := make(map[uint32]PartitionInfo, len(t.Partitions))
	for _, p := range t.Partitions {
		had[p.OID] = p
	}
	for _, p := range now.Partitions {
		old, ok := had[p.OID]
		name := display(p.Schema, p.Name)
		switch {
		case !ok:
			return fmt.Sprintf("partition %s was attached to %s", name, t)
		case old.Identity != p.Identity:
			return fmt.Sprintf("replica identity of %s, a partition of %s, changed from %s to %s", name, t, old.Identity, p.Identity)
		case old.Persistence != p.Persistence, old.LeafKind != p.LeafKind:
			return fmt.Sprintf("partition %s of %s changed its kind of storage", name, t)
		}
		delete(had, p.OID)
	}
	for _, p := range t.Partitions {
		if _, gone := had[p.OID]; gone {
			return fmt.Sprintf("partition %s was detached from %s or dropped", display(p.Schema, p.Name), t)
		}
	}
	return ""
}

func (t *TableInfo) diffMemberships(now *TableInfo) string {
	for _, name := range t.PublishedIn {
		if !now.published(name) {
			return fmt.Sprintf("table %s left the publication %s", t, name)
		}
	}
	for _, name := range now.PublishedIn {
		if !t.published(name) {
			return fmt.Sprintf("table %s entered the publication %s", t, name)
		}
	}
	for i, m := range now.Memberships {
		if i >= len(t.Memberships) || !slices.Equal(t.Memberships[i].fields(), m.fields()) {
			return fmt.Sprintf("publication %s carries table %s differently than before", m.Publication, t)
		}
	}
	if len(t.Memberships) != len(now.Memberships) {
		return fmt.Sprintf("table %s is carried by its publications differently than before", t)
	}
	return ""
}
