package pg

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestErrorsThatOnlyAPersonCanCureArePermanent(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{&NeedsError{}, true},
		{&NotFoundError{}, true},
		{&UnsupportedError{}, true},
		{&ChangedError{}, true},
		{&pgconn.PgError{Code: "42P01"}, true},  // undefined table
		{&pgconn.PgError{Code: "42703"}, true},  // undefined column
		{&pgconn.PgError{Code: "42501"}, true},  // permission denied
		{&pgconn.PgError{Code: "22012"}, true},  // division by zero
		{&pgconn.PgError{Code: "42710"}, false}, // somebody else added the table to the publication
		{&pgconn.PgError{Code: "40001"}, false}, // serialization failure
		{&pgconn.PgError{Code: "53300"}, false}, // too many connections
		{&pgconn.PgError{Code: "55P03"}, false}, // lock not available
		{&pgconn.PgError{Code: "57P01"}, false}, // admin shutdown
		{&pgconn.PgError{Code: "28P01"}, false}, // a password that is being changed ends no shape
		{&LockedError{Err: &pgconn.PgError{Code: "55P03"}}, false},
		{ErrSnapshotStale, false},
		{context.Canceled, false},
		{errors.New("connection reset"), false},
		{nil, false},
	} {
		if got := Permanent(c.err); got != c.want {
			t.Errorf("%T %v: %t", c.err, c.err, got)
		}
		if c.err != nil && Permanent(fmt.Errorf("copy: %w", c.err)) != c.want {
			t.Errorf("%T %v, wrapped: not %t", c.err, c.err, c.want)
		}
	}
}
