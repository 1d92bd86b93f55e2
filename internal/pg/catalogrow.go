package pg

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/shapebus/shapebus/pkg/change"
)

// catalogRow is a JSON document of tablesSQL: a table, or a type if CustomType is set.
type catalogRow struct {
	tableRow
	typeRow
}

// tableRow is a table as tablesSQL describes it.
type tableRow struct {
	OID         uint32 `json:"oid"`
	Schema      string `json:"schema"`
	Name        string `json:"-"`
	Kind        string `json:"kind"`
	Persistence string `json:"persistence"`
	Identity    string `json:"identity"`
	RowSecurity bool   `json:"row_security"`
	Owner       string `json:"owner"`
	Storage     uint32 `json:"storage"`
	RowType     string `json:"row_type"`
	PartitionOf string `json:"partition_of"`
	Parent      bool   `json:"parent"`
	Columns     []struct {
		Number        int16  `json:"number"`
		Name          string `json:"name"`
		Type          uint32 `json:"type"`
		TypeMod       int32  `json:"type_mod"`
		TypeName      string `json:"type_name"`
		Collation     uint32 `json:"collation"`
		Deterministic bool   `json:"deterministic"`
		Generated     bool   `json:"generated"`
		Expression    string `json:"expression"`
		Written       string `json:"written"`
	} `json:"columns"`
	Key *struct {
		ID         uint32   `json:"id"`
		Deferrable bool     `json:"deferrable"`
		Valid      bool     `json:"valid"`
		Columns    []string `json:"columns"`
	} `json:"key"`
	Partitions []struct {
		OID         uint32 `json:"oid"`
		Schema      string `json:"schema"`
		Name        string `json:"name"`
		Kind        string `json:"kind"`
		Persistence string `json:"persistence"`
		Identity    string `json:"identity"`
		Link        string `json:"link"`
		Storage     string `json:"storage"`
		File        uint32 `json:"file"`
		Filed       string `json:"filed"`
	} `json:"partitions"`
	Memberships []struct {
		Publication string `json:"publication"`
		Via         string `json:"via"`
		ID          uint32 `json:"id"`
		XID         string `json:"xid"`
		Filter      string `json:"filter"`
		Columns     string `json:"columns"`
		Set         string `json:"set"`
		Options     string `json:"options"`
	} `json:"memberships"`
}

// typeRow is a type that is not built in.
type typeRow struct {
	CustomType uint32   `json:"custom_type"`
	Name       string   `json:"name"` // a table's too
	Composite  bool     `json:"composite"`
	Base       uint32   `json:"base"` // of a domain, what it restricts
	MadeOf     []uint32 `json:"made_of"`
	Attributes []string `json:"attributes"`
	Written    []string `json:"written"` // an enum's labels, and by whom
	Labels     []string `json:"labels"`
}

// readCatalog makes tables of the rows of tablesSQL.
func readCatalog(docs [][]byte) (map[uint32]*TableInfo, error) {
	rows := make([]catalogRow, len(docs))
	types := typeRows{}
	for i, doc := range docs {
		if err := json.Unmarshal(doc, &rows[i]); err != nil {
			return nil, fmt.Errorf("read the catalog: %w", err)
		}
		if r := &rows[i]; r.CustomType != 0 {
			types[r.CustomType] = &r.typeRow
		}
	}
	tables := make(map[uint32]*TableInfo, len(rows)-len(types))
	known := map[uint32]string{}
	for i := range rows {
		r := &rows[i]
		if r.CustomType != 0 {
			continue
		}
		r.tableRow.Name = r.typeRow.Name
		tables[r.OID] = r.table(types, known)
	}
	return tables, nil
}

// table makes a TableInfo of a row. known holds the makes of types met before.
func (r *tableRow) table(types typeRows, known map[uint32]string) *TableInfo {
	t := &TableInfo{
		Form: catalogForm,
		Relation: change.Relation{
			OID: r.OID, Schema: r.Schema, Name: r.Name, Identity: change.Identity(letter(r.Identity)),
		},
		Kind:        letter(r.Kind),
		Owner:       r.Owner,
		RowSecurity: r.RowSecurity,
		Persistence: letter(r.Persistence),
		PartitionOf: r.PartitionOf,
		Parent:      r.Parent,
		Storage:     r.Storage,
	}
	for _, c := range r.Columns {
		info := ColumnInfo{
			Name: c.Name, Type: c.Type, TypeMod: c.TypeMod, TypeName: c.TypeName, Generated: c.Generated, Deterministic: c.Deterministic,
			Number: c.Number, Collation: c.Collation, Expression: c.Expression, Written: c.Written,
		}
		if y := types[c.Type]; y != nil {
			info.Enum = y.Labels
			info.Base, info.Composite = types.baseOf(c.Type)
			if known[c.Type] == "" {
				known[c.Type] = types.makeOf(c.Type)
			}
			info.TypeMake = known[c.Type]
		}
		t.Columns = append(t.Columns, info)
		if !c.Generated {
			t.Relation.Columns = append(t.Relation.Columns, change.Column{Name: c.Name, Type: c.Type, TypeMod: c.TypeMod})
		}
	}
	t.setKey(r)
	for _, p := range r.Partitions {
		t.Partitions = append(t.Partitions, PartitionInfo{
			OID: p.OID, Schema: p.Schema, Name: p.Name, Identity: change.Identity(letter(p.Identity)),
			LeafKind: letter(p.Kind), Persistence: letter(p.Persistence), Link: p.Link, Storage: p.Storage, File: p.File, Filed: p.Filed,
		})
	}
	for _, m := range r.Memberships {
		one := Membership{
			Publication: m.Publication, Via: m.Via, ID: m.ID, XID: m.XID, Filter: m.Filter, Columns: m.Columns, Set: m.Set, Options: m.Options,
		}
		if m.Via == "schema" {
			one.Named = r.RowType
		}
		t.Memberships = append(t.Memberships, one)
		if n := len(t.PublishedIn); n == 0 || t.PublishedIn[n-1] != m.Publication {
			t.PublishedIn = append(t.PublishedIn, m.Publication)
		}
	}
	return t
}

// setKey takes the primary key, if it tells rows apart in the stream.
func (t *TableInfo) setKey(r *tableRow) {
	k := r.Key
	if k == nil {
		return
	}
	t.KeyID = k.ID
	streamed := func(name string) bool {
		return slices.ContainsFunc(t.Relation.Columns, func(c change.Column) bool { return c.Name == name })
	}
	switch {
	case k.Deferrable:
		t.KeyFlaw = "is DEFERRABLE, so that two rows can have it at once"
	case !k.Valid:
		t.KeyFlaw = "is not valid on all partitions"
	case slices.ContainsFunc(k.Columns, func(name string) bool { return !streamed(name) }):
		t.KeyFlaw = "has a generated column, which Postgres does not replicate"
	default:
		t.PrimaryKey = k.Columns
	}
}

// letter is a "char" column's value; zero when it is empty.
func letter(s string) byte {
	if s == "" {
		return 0
	}
	return s[0]
}
