package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/shapebus/shapebus/pkg/client"
)

// target is the copy in SQLite.
type target struct {
	db            *sql.DB
	create        string // the table
	insert, erase string // of a row, of a key
}

// open returns the position at which the copy stands.
func open(ctx context.Context, db *sql.DB, shape *client.Shape) (*target, client.Position, error) {
	if !shape.Info().HasKey {
		return nil, client.Position{}, errors.New("the table has no primary key: rows cannot be told apart")
	}
	var columns, keys, conditions []string
	for _, c := range shape.Columns() {
		columns = append(columns, quote(c.Name))
		if c.Key {
			keys = append(keys, quote(c.Name))
			conditions = append(conditions, quote(c.Name)+" = ?")
		}
	}
	list := strings.Join(columns, ", ")
	if _, err := db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY CHECK (id = 1), position TEXT NOT NULL)"); err != nil {
		return nil, client.Position{}, err
	}
	t := &target{
		db:     db,
		create: fmt.Sprintf("CREATE TABLE copy (%s, PRIMARY KEY (%s))", list, strings.Join(keys, ", ")),
		insert: fmt.Sprintf("INSERT OR REPLACE INTO copy (%s) VALUES (?%s)", list, strings.Repeat(", ?", len(columns)-1)),
		erase:  "DELETE FROM copy WHERE " + strings.Join(conditions, " AND "),
	}
	var kept string
	switch err := db.QueryRowContext(ctx, "SELECT position FROM state").Scan(&kept); {
	case errors.Is(err, sql.ErrNoRows):
		return t, client.Beginning(), nil
	case err != nil:
		return nil, client.Position{}, err
	}
	from, err := client.ParsePosition(kept)
	return t, from, err
}

// apply does to the copy what a transaction did to the shape, and keeps its position, or does nothing.
func (t *target) apply(ctx context.Context, from *client.Transaction) error {
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing behind Commit
	if from.Snapshot {
		if err := t.empty(ctx, tx); err != nil {
			return err
		}
	}
	for change := range from.Changes() {
		if err := t.change(ctx, tx, change); err != nil {
			return err
		}
	}
	commit, err := from.Commit()
	if err != nil {
		return err // ErrAborted: the server takes it back, and it comes again
	}
	if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO state VALUES (1, ?)", commit.Position().String()); err != nil {
		return err
	}
	return tx.Commit()
}

// empty makes an empty table. One whose columns are others, as the shape's table was altered, is made again.
func (t *target) empty(ctx context.Context, tx *sql.Tx) error {
	var made string
	switch err := tx.QueryRowContext(ctx, "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = 'copy'").Scan(&made); {
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return err
	case made == t.create:
		_, err := tx.ExecContext(ctx, "DELETE FROM copy")
		return err
	}
	_, err := tx.ExecContext(ctx, "DROP TABLE IF EXISTS copy; "+t.create)
	return err
}

func (t *target) change(ctx context.Context, tx *sql.Tx, c client.Change) error {
	statement := t.insert
	switch c.Kind {
	case client.Truncate:
		statement = "DELETE FROM copy"
	case client.Delete, client.Discard:
		statement = t.erase
	case client.Insert, client.Update, client.Upsert:
	}
	values := make([]any, c.Row.Len())
	for i := range values {
		if c.Row.Unchanged(i) {
			return fmt.Errorf("column %s was left alone and Postgres did not send it; set REPLICA IDENTITY FULL on the table", c.Row.Column(i).Name)
		}
		if v := c.Row.At(i); v != nil {
			values[i] = string(v)
		}
	}
	_, err := tx.ExecContext(ctx, statement, values...)
	return err
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
