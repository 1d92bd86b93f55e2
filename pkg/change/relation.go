package change

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
)

// Identity is a table's replica identity as pg_class.relreplident spells it.
type Identity byte

// The replica identities of Postgres.
const (
	IdentityDefault Identity = 'd' // the primary key, if any
	IdentityFull    Identity = 'f' // the whole old row
	IdentityIndex   Identity = 'i' // a chosen unique index
	IdentityNothing Identity = 'n'
)

func (i Identity) String() string {
	switch i {
	case IdentityFull:
		return "FULL"
	case IdentityIndex:
		return "USING INDEX"
	case IdentityNothing:
		return "NOTHING"
	case IdentityDefault:
		return "DEFAULT"
	}
	return fmt.Sprintf("%q", byte(i))
}

// Column is a published column of a relation.
type Column struct {
	Name    string
	Type    uint32 // pg_type oid
	TypeMod int32  // pg_attribute.atttypmod; -1 without one
}

// Relation is a table's schema as the replication stream describes it
// (pgoutput's Relation message): the published columns in their order.
type Relation struct {
	OID      uint32
	Schema   string
	Name     string
	Identity Identity
	Columns  []Column
}

// Fingerprint names the schema: equal for equal relations, 16 hex digits.
func (r *Relation) Fingerprint() string {
	h := sha256.New()
	write := func(s string) {
		h.Write(strconv.AppendInt(nil, int64(len(s)), 10))
		h.Write([]byte{':'})
		h.Write([]byte(s))
	}
	write(strconv.FormatUint(uint64(r.OID), 10))
	write(r.Schema)
	write(r.Name)
	write(string(r.Identity))
	for _, c := range r.Columns {
		write(c.Name)
		write(strconv.FormatUint(uint64(c.Type), 10))
		write(strconv.FormatInt(int64(c.TypeMod), 10))
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// IsFingerprint reports whether s has the form of a fingerprint.
func IsFingerprint(s string) bool {
	const digits = 16
	if len(s) != digits {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Diff says in words what changed from r to s, for the person whose shape
// ends because of it. It returns "" when nothing did.
func (r *Relation) Diff(s *Relation) string {
	switch {
	case r.OID != s.OID:
		return fmt.Sprintf("table %s.%s was dropped and created again", r.Schema, r.Name)
	case r.Schema != s.Schema || r.Name != s.Name:
		return fmt.Sprintf("table %s.%s was renamed to %s.%s", r.Schema, r.Name, s.Schema, s.Name)
	case r.Identity != s.Identity:
		return fmt.Sprintf("replica identity of %s.%s changed from %s to %s", r.Schema, r.Name, r.Identity, s.Identity)
	}
	now := make(map[string]Column, len(s.Columns))
	for _, c := range s.Columns {
		now[c.Name] = c
	}
	for _, c := range r.Columns {
		d, ok := now[c.Name]
		switch {
		case !ok:
			return fmt.Sprintf("column %s of %s.%s was dropped or renamed", c.Name, r.Schema, r.Name)
		case c.Type != d.Type || c.TypeMod != d.TypeMod:
			return fmt.Sprintf("column %s of %s.%s changed its type", c.Name, r.Schema, r.Name)
		}
		delete(now, c.Name)
	}
	for _, c := range s.Columns {
		if _, added := now[c.Name]; added {
			return fmt.Sprintf("column %s was added to %s.%s", c.Name, r.Schema, r.Name)
		}
	}
	for i, c := range r.Columns {
		if s.Columns[i].Name != c.Name {
			return fmt.Sprintf("columns of %s.%s changed their order", r.Schema, r.Name)
		}
	}
	return ""
}
