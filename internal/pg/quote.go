package pg

import (
	"regexp"
	"strings"
)

// Ident quotes one identifier for SQL. NUL bytes, which Postgres cannot store,
// are dropped.
func Ident(name string) string {
	name = strings.ReplaceAll(name, "\x00", "")
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// Qualified quotes a schema and a name for SQL, as "schema"."name".
func Qualified(schema, name string) string { return Ident(schema) + "." + Ident(name) }

// Literal quotes a string constant for SQL. It reads the same whether or not
// standard_conforming_strings is on. NUL bytes are dropped.
func Literal(s string) string {
	s = strings.ReplaceAll(s, "\x00", "")
	s = strings.ReplaceAll(s, `'`, `''`)
	if !strings.Contains(s, `\`) {
		return `'` + s + `'`
	}
	// The blank keeps the E from joining a word before it.
	return ` E'` + strings.ReplaceAll(s, `\`, `\\`) + `'`
}

var plainIdent = regexp.MustCompile(`^[a-z_][a-z0-9_$]*$`)

// Name writes one identifier for people: quoted only where it needs to be.
func Name(name string) string {
	if plainIdent.MatchString(name) {
		return name
	}
	return Ident(name)
}

// Display writes a table's name for people: quoted only where it needs to be.
func Display(schema, name string) string {
	if plainIdent.MatchString(schema) && plainIdent.MatchString(name) {
		return schema + "." + name
	}
	return Qualified(schema, name)
}
