package prepare

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A process that is frozen, or lost with its host, keeps what it has locked until TCP gives up, and a frozen one for
// ever: others could prepare nothing, and the application could not write. So while it has locks Postgres ends its
// session when it has been silent for so long. What it was about to do is undone then, and done again by whoever comes next.
const (
	// silentInTransaction is between two statements of a transaction that locks an application's table,
	// and while GiveBack asks to be confirmed, before that.
	silentInTransaction = 15 * time.Second
	// silentInSession is while f of Preparing stores what the table was.
	silentInSession = time.Minute
)

// endIfSilent is the statement after which the transaction ends with the session when nothing comes of it.
func endIfSilent() string {
	return fmt.Sprintf("SET LOCAL idle_in_transaction_session_timeout = %d", silentInTransaction.Milliseconds())
}

// sessionEndsIfSilent lets Postgres end the session when nothing comes of it, until restore is called.
func sessionEndsIfSilent(ctx context.Context, conn *pgx.Conn) (restore func(), err error) {
	if _, err := conn.Exec(ctx, fmt.Sprintf("SET idle_session_timeout = %d", silentInSession.Milliseconds())); err != nil {
		return nil, err
	}
	return func() { atLast(ctx, conn, "RESET idle_session_timeout") }, nil
}

// atLast runs a statement that leaves the session as it was, or else closes the connection.
func atLast(ctx context.Context, conn *pgx.Conn, sql string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if _, err := conn.Exec(ctx, sql); err != nil {
		conn.Close(ctx)
	}
}
