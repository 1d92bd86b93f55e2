package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/topology"
)

// databaseFlags say how to reach Postgres. Whatever they leave open follows libpq's rules: PG* variables, the password file,
// the service file, sslmode.
type databaseFlags struct {
	DatabaseURL     string `name:"database-url" help:"Postgres, as postgres://user@host:port/db?sslmode=… or host=… dbname=…. Default: what PGHOST, PGDATABASE, PGSERVICE, … say; passwords best come from PGPASSWORD or a password file."`
	DatabaseURLFile string `name:"database-url-file" type:"path" help:"File that holds --database-url, for one with a password in it. Default none."`
}

// libpqVariables are those that say which server or database is meant.
var libpqVariables = []string{"PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGSERVICE", "PGUSER"}

// given returns the connection string, "" when neither flags nor environment name a database.
func (f *databaseFlags) given() (string, error) {
	if f.DatabaseURLFile != "" {
		if _, err := readSecret("--database-url-file", f.DatabaseURLFile); err != nil {
			return "", err
		}
		return pg.FromFile(f.DatabaseURLFile), nil // it is read again for each connection
	}
	fromEnvironment := ""
	if slices.ContainsFunc(libpqVariables, func(name string) bool { return os.Getenv(name) != "" }) {
		fromEnvironment = "application_name=shapebus" // the rest is libpq's environment
	}
	return cmp.Or(f.DatabaseURL, fromEnvironment), nil
}

// required is given, or the error that says how to name a database.
func (f *databaseFlags) required() (string, error) {
	url, err := f.given()
	if err == nil && url == "" {
		err = &usageError{text: "which database? Give --database-url (or SHAPEBUS_DATABASE_URL, --database-url-file, or libpq's PGHOST, PGDATABASE, …)"}
	}
	return url, err
}

// sourceFlags name the source.
type sourceFlags struct {
	Source sourceName `default:"main" help:"Name of the source (one database and slot) in streams and subjects: letters, digits, _ and - (default ${default})."`
}

// sourceName is a topology.Source on the command line.
type sourceName topology.Source

// UnmarshalText checks the name.
func (s *sourceName) UnmarshalText(text []byte) error {
	source, err := topology.ParseSource(string(text))
	*s = sourceName(source)
	return err
}

// replicationFlags name what Shapebus keeps in Postgres.
type replicationFlags struct {
	Publication string `help:"Publication to use. Default shapebus_<source>."`
	Slot        string `help:"Replication slot to use. Default shapebus_<source>."`
}

// maxPostgresName is how many bytes of a name Postgres takes.
const maxPostgresName = 63

// Validate finds names that Postgres would refuse, or cut off, each time they are tried.
func (f replicationFlags) Validate() error {
	switch {
	case len(f.Slot) > maxPostgresName || strings.Trim(f.Slot, "abcdefghijklmnopqrstuvwxyz0123456789_") != "":
		return fmt.Errorf("--slot %q: want at most %d of a-z, 0-9 and _", f.Slot, maxPostgresName)
	case len(f.Publication) > maxPostgresName:
		return fmt.Errorf("--publication %q: want at most %d bytes", f.Publication, maxPostgresName)
	}
	return nil
}

// of fills in the source's own names.
func (f replicationFlags) of(source topology.Source) replicationFlags {
	return replicationFlags{Publication: cmp.Or(f.Publication, source.Publication()), Slot: cmp.Or(f.Slot, source.Slot())}
}
