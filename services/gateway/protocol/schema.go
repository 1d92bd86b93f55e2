package protocol

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf16"
)

// Column is what the schema header says of a column is made of.
type Column struct {
	Name     string
	TypeName string // as format_type prints it, such as character varying(20)
	TypeMod  int32  // -1 for none
	NotNull  bool
	Key      int // place in the primary key, -1 outside of it
}

// property is a column in the schema header.
type property struct {
	Type      string `json:"type"`
	Dims      int    `json:"dims,omitempty"`
	PKIndex   *int   `json:"pk_index,omitempty"`
	NotNull   bool   `json:"not_null,omitempty"`
	MaxLength *int32 `json:"max_length,omitempty"`
	Length    *int32 `json:"length,omitempty"`
	Precision *int32 `json:"precision,omitempty"`
	Scale     *int32 `json:"scale,omitempty"`
	Fields    string `json:"fields,omitempty"`
	TypeMod   *int32 `json:"type_mod,omitempty"`
}

// shortNames are pg_type.typname for what format_type spells out.
var shortNames = map[string]string{
	"bigint": "int8", "integer": "int4", "smallint": "int2", "boolean": "bool", "real": "float4", "double precision": "float8",
	"character varying": "varchar", "character": "bpchar", "bit varying": "varbit",
	"time without time zone": "time", "time with time zone": "timetz",
	"timestamp without time zone": "timestamp", "timestamp with time zone": "timestamptz", `"char"`: "char",
}

// Schema is the value of the schema header: ASCII only.
func Schema(columns []Column) (string, error) {
	var b strings.Builder
	for i, c := range columns {
		if i > 0 {
			b.WriteByte(',')
		}
		p, err := json.Marshal(propertyOf(c))
		if err != nil {
			return "", fmt.Errorf("describe column %s: %w", c.Name, err)
		}
		name := appendText(nil, []byte(c.Name))
		b.Write(name)
		b.WriteByte(':')
		b.Write(p)
	}
	return ascii("{" + b.String() + "}"), nil
}

func propertyOf(c Column) property {
	name, dims := c.TypeName, 0
	for strings.HasSuffix(name, "[]") {
		name, dims = strings.TrimSuffix(name, "[]"), dims+1
	}
	p := property{Dims: dims, NotNull: c.NotNull}
	name, fields := typeName(name)
	p.Type = name
	if c.Key >= 0 {
		p.PKIndex = &c.Key
	}
	if c.TypeMod < 0 {
		return p
	}
	mod, less := c.TypeMod, c.TypeMod-4
	switch name {
	case "varchar", "text":
		p.MaxLength = &less
	case "bpchar":
		p.Length = &less
	case "bit", "varbit":
		p.Length = &mod
	case "time", "timetz", "timestamp", "timestamptz":
		if mod > 0 {
			p.Precision = &mod
		}
	case "numeric":
		precision, scale := less>>16&0xffff, (less&0x7ff^1024)-1024
		p.Precision, p.Scale = &precision, &scale
	case "interval":
		p.Fields = strings.ToUpper(fields)
		if precision := mod & 0xffff; precision != 0xffff {
			p.Precision = &precision
		}
	default:
		p.TypeMod = &mod
	}
	return p
}

// typeName is pg_type.typname of what format_type prints, and the fields of an interval.
func typeName(s string) (name, fields string) {
	base := s
	if !strings.HasPrefix(s, `"`) {
		if from := strings.IndexByte(s, '('); from >= 0 { // a modifier, in the middle of time(3) with time zone
			if to := strings.IndexByte(s[from:], ')'); to >= 0 {
				base = strings.TrimSpace(s[:from]) + s[from+to+1:]
			}
		}
	}
	if short, ok := shortNames[base]; ok {
		return short, ""
	}
	if rest, ok := strings.CutPrefix(base, "interval "); ok {
		return "interval", rest
	}
	parts, err := split(base, '.')
	if err != nil {
		return base, ""
	}
	last := parts[len(parts)-1]
	if strings.HasPrefix(last, `"`) {
		last = strings.ReplaceAll(strings.Trim(last, `"`), `""`, `"`)
	}
	return last, ""
}

// ascii escapes what is not ASCII in JSON.
func ascii(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < 0x7f:
			b.WriteRune(r)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
