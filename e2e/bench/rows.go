package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// The tables of all benches look like this. A row has about 100 bytes in the replication stream.
const tableSQL = `CREATE TABLE %s (id bigint PRIMARY KEY, kind int NOT NULL, customer int NOT NULL, payload text NOT NULL)`

// rowBytes is what a row takes up in the stream from Postgres, and roughly in the change log and in a shape log: the
// message's frame, four lengths, and the values.
const rowBytes = 103

const (
	kinds     = 100
	customers = 20_000
)

// rowsSQL inserts the rows from $first to $last, given as SQL expressions.
func rowsSQL(table, first, last string) string {
	return fmt.Sprintf(`INSERT INTO %s SELECT i, i %% %d, i %% %d, left(md5(i::text) || md5((-i)::text), 62) FROM generate_series(%s, %s) i`,
		table, kinds, customers, first, last)
}

// writeBig inserts rows in one transaction.
func (l *lab) writeBig(ctx context.Context, table string, rows int) error {
	return l.exec(ctx, rowsSQL(table, "1", strconv.Itoa(rows)))
}

// writeSmall commits transactions of 1, 2, … 10, 1, … rows. It does not wait for the disk after each: what is measured is
// how they are read.
func (l *lab) writeSmall(ctx context.Context, table string, transactions int) error {
	err := l.exec(ctx, "SET synchronous_commit = off")
	if err != nil {
		return err
	}
	err = l.exec(ctx, fmt.Sprintf(`DO $$
		DECLARE next bigint := 1; size int;
		BEGIN
			FOR t IN 0..%d LOOP
				size := 1 + t %% 10;
				%s;
				next := next + size;
				COMMIT;
			END LOOP;
		END $$`, transactions-1, rowsSQL(table, "next", "next + size - 1")))
	return errors.Join(err, l.exec(ctx, "RESET synchronous_commit"))
}
