package predicate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Validate asks Postgres whether it accepts the clause for the table, as a second judge after Compile. Nothing is read:
// the statement is prepared and described. The connection must not be in use; cancelling ctx closes it. A refusal is an
// *Error, anything else (a lost connection, a cancelled context) is not.
func Validate(ctx context.Context, conn *pgconn.PgConn, table Table, p *Predicate) error {
	name := quoteIdent(table.Schema) + "." + quoteIdent(table.Name)
	_, err := conn.Prepare(ctx, "", "SELECT 1 FROM "+name+" WHERE "+p.SQL(), nil)
	if err == nil {
		return nil
	}
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return fmt.Errorf("validate the where clause on %s: %w", name, err)
	}
	const undefinedTable, undefinedColumn, noPrivilege, locked = "42P01", "42703", "42501", "55P03"
	if refused.Code == locked {
		return fmt.Errorf("validate the where clause on %s: it, or a table of its subqueries, is locked by another transaction; try again: %w", name, err)
	}
	out := &Error{Message: "Postgres refuses the clause: " + refused.Message, Hint: refused.Hint}
	switch refused.Code {
	case undefinedTable:
		out = &Error{Message: fmt.Sprintf("table %s does not exist", name)}
		if len(p.Subqueries()) > 0 { // it may be one of theirs
			out.Message = "Postgres does not find a table: " + refused.Message
		}
	case undefinedColumn:
		out.Message = "the table has changed: " + refused.Message
	case noPrivilege:
		out.Denied = true
		out.Message = "Postgres denies access: " + refused.Message
		if strings.Contains(refused.Message, "row-level security") {
			out.Hint = fmt.Sprintf("the changes in the stream are not filtered by policies, so what is read must not be either; a superuser can run ALTER ROLE %s BYPASSRLS", quoteIdent(conn.ParameterStatus("session_authorization")))
			break
		}
		if len(p.Subqueries()) > 0 {
			name += " and the tables of its subqueries"
		}
		out.Hint = fmt.Sprintf("GRANT USAGE ON SCHEMA %s and SELECT ON %s to the user of this connection", quoteIdent(table.Schema), name)
	}
	return out
}
