package predicate

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/shapebus/shapebus/internal/predicate/value"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

var (
	seedFlag  = flag.Uint64("predicate.seed", 0, "seed of the comparison with Postgres; 0 takes one from the clock")
	pairsFlag = flag.Int("predicate.pairs", 150_000, "how many (row, clause) pairs each test compares with Postgres")
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func connect(t *testing.T) *pgconn.PgConn {
	t.Helper()
	config, err := pgconn.ParseConfig(pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(config.RuntimeParams, map[string]string{
		"TimeZone": "UTC", "DateStyle": "ISO", "extra_float_digits": "1", "client_encoding": "UTF8", "standard_conforming_strings": "on",
	})
	conn, err := pgconn.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func exec(t *testing.T, conn *pgconn.PgConn, sql string) [][][]byte {
	t.Helper()
	results, err := conn.Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return results[len(results)-1].Rows
}

// oracle is a table of random rows in Postgres and here.
type oracle struct {
	conn  *pgconn.PgConn
	tame  bool // rows without values at the ends of their types, where the user's text would raise errors
	gen   *generator
	table Table
	rows  [][][]byte
}

func newOracle(t *testing.T, conn *pgconn.PgConn, rng *rand.Rand, rows int, tame bool) *oracle {
	t.Helper()
	o := &oracle{conn: conn, tame: tame, gen: &generator{Rand: rng, columns: testColumns(), flat: tame}, table: Table{Schema: "public", Name: "rows"}}
	var create []string
	for _, c := range o.gen.columns {
		o.table.Columns = append(o.table.Columns, c.column())
		columnType := c.sqlType
		if c.domain != "" {
			columnType = c.domain
		}
		collate := ""
		if k, _ := value.KindOfOID(c.oid); k.IsText() {
			collate = byteOrder
		}
		create = append(create, quoteIdent(c.name)+" "+columnType+collate)
	}
	exec(t, conn, "DROP TABLE IF EXISTS rows; DROP TYPE IF EXISTS mood, point2; CREATE EXTENSION IF NOT EXISTS citext; CREATE TYPE point2 AS (a integer, b text); CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy', 'it''s'); "+
		"DROP DOMAIN IF EXISTS whole, amount, label, period; CREATE DOMAIN period AS daterange; CREATE DOMAIN whole AS integer; CREATE DOMAIN amount AS numeric; CREATE DOMAIN label AS text; CREATE TABLE rows ("+strings.Join(create, ", ")+", row_number serial)")
	var values []string
	for range rows {
		values = append(values, "("+o.randomRow()+")")
	}
	exec(t, conn, "INSERT INTO rows VALUES "+strings.Join(values, ", "))
	o.rows = exec(t, conn, "SELECT * FROM rows ORDER BY row_number")
	return o
}

func (o *oracle) randomRow() string {
	var cells []string
	for _, c := range o.gen.columns {
		v := pick(o.gen, c.pool)
		if calm := tamePools[c.name]; o.tame && calm != nil {
			v = pick(o.gen, calm)
		}
		switch {
		case o.gen.IntN(6) == 0:
			cells = append(cells, "NULL")
		case c.name == "price" && o.gen.IntN(2) == 0:
			cells = append(cells, fmt.Sprintf("%.2f", o.gen.Float64()*4))
		default:
			// An explicit cast cuts text to the column's length instead of failing.
			cells = append(cells, quoteLiteral(v)+"::"+c.sqlType)
		}
	}
	return strings.Join(cells, ", ")
}

// truths asks Postgres for the value of a clause on each row: t, f or n.
func (o *oracle) truths(ctx context.Context, clause string, params []*string) (string, error) {
	values := make([][]byte, len(params))
	for i, p := range params {
		if p != nil {
			values[i] = []byte(*p)
		}
	}
	sql := "SELECT string_agg(CASE WHEN q THEN 't' WHEN NOT q THEN 'f' ELSE 'n' END, '' ORDER BY row_number) FROM (SELECT row_number, (" +
		clause + ") OR false AS q FROM public.rows OFFSET 0) s"
	result := o.conn.ExecParams(ctx, sql, values, nil, nil, nil).Read()
	if result.Err != nil {
		return "", result.Err
	}
	return string(result.Rows[0][0]), nil
}

// Our own reasons to refuse what Postgres accepts.
var ownRefusals = []string{
	"cannot be compared with floating point numbers", "must be a constant or a parameter", "has no zone but UTC",
	"written in ISO 8601", "LIKE pattern must not end with the escape character",
	"too many subqueries", "nested too deeply", "too complex", // limits
	"jsonpath, character ",
	"is out of range for type", // Postgres may never get to see the constant, as in FALSE AND …
}

func TestEvaluatorAgreesWithPostgres(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d; again with: go test ./internal/predicate -run %s -predicate.seed=%d", seed, t.Name(), seed)
	conn := connect(t)
	rng := rand.New(rand.NewPCG(seed, 1))
	const rowsPerTable, clausesPerTable = 200, 150
	var o *oracle
	pairs, refused := 0, 0
	for i := 0; pairs < *pairsFlag; i++ {
		if i%clausesPerTable == 0 {
			o = newOracle(t, conn, rng, rowsPerTable, false)
		}
		o.gen.params = nil
		clause := o.gen.clause(rng.IntN(5))
		if o.check(t, clause, o.gen.params) {
			pairs += rowsPerTable
		} else {
			refused++
		}
		if t.Failed() && i > 200 {
			break // enough to look at
		}
	}
	t.Logf("%d pairs agree, %d clauses refused by both", pairs, refused)
	if refused*5 > pairs/rowsPerTable {
		t.Errorf("too many of the random clauses are refused: %d", refused)
	}
}

// check compares one clause on all rows; false if it was refused.
func (o *oracle) check(t *testing.T, clause string, params []*string) bool {
	t.Helper()
	ctx := t.Context()
	p, err := Compile(clause, params, o.table, nil)
	theirs, theirErr := o.truths(ctx, clause, params)
	var pgErr *pgconn.PgError
	if theirErr != nil && !errors.As(theirErr, &pgErr) {
		t.Fatal(theirErr)
	}
	if err != nil {
		if theirErr == nil {
			for _, own := range ownRefusals {
				if strings.Contains(err.Error(), own) {
					return false
				}
			}
			t.Errorf("only we refuse %s %q: %v", clause, listed(params), err)
		}
		return false
	}
	if again, err := Compile(p.SQL(), nil, o.table, nil); err != nil {
		t.Errorf("%s %q prints as\n %s, which is refused: %v", clause, listed(params), p.SQL(), err)
	} else if again.SQL() != p.SQL() {
		t.Errorf("%s %q prints as\n %s, which prints as\n %s", clause, listed(params), p.SQL(), again.SQL())
	}
	printed, err := o.truths(ctx, p.SQL(), nil)
	if err != nil {
		t.Errorf("Postgres refuses our SQL %s\n of %s %q: %v", p.SQL(), clause, listed(params), err)
		return false
	}
	if err := Validate(ctx, o.conn, o.table, p); err != nil {
		t.Errorf("Validate of %s: %v", p.SQL(), err)
	}
	for i, row := range o.rows {
		ours := "fnt"[p.root.eval(row)]
		if p.Match(row) != (ours == 't') {
			t.Errorf("Match differs from the evaluation of %s", p.SQL())
		}
		if printed[i] != ours {
			t.Errorf("we say %c, Postgres %c: %s", ours, printed[i], o.reproduction(p, row, p.SQL()))
			return true
		}
		if theirErr == nil && theirs[i] != ours {
			t.Errorf("we say %c, Postgres %c: %s -- params %q, printed as %s", ours, theirs[i], o.reproduction(p, row, clause), listed(params), p.SQL())
			return true
		}
	}
	const overflow = "22008" // Postgres converts the date column of date IN (timestamps); our SQL does not need to
	if theirErr != nil && pgErr.Code != overflow {
		t.Errorf("only Postgres refuses %s %q: %v", clause, listed(params), theirErr)
	}
	o.checkAccess(t, p)
	return true
}

// checkAccess: an index finds every matching row.
func (o *oracle) checkAccess(t *testing.T, p *Predicate) {
	t.Helper()
	a := p.Access()
	for _, row := range o.rows {
		if p.Match(row) && !covers(a, row) {
			t.Errorf("%s matches %q, which is not covered by %s", p.SQL(), row, describe(a))
			return
		}
	}
}

// reproduction is a statement that shows Postgres' answer for one row.
func (o *oracle) reproduction(p *Predicate, row [][]byte, clause string) string {
	var cells []string
	for _, i := range columnsRead(p) {
		c := o.gen.columns[i]
		value := "NULL"
		if row[i] != nil {
			value = quoteLiteral(string(row[i]))
		}
		cells = append(cells, value+"::"+c.sqlType+" AS "+quoteIdent(c.name))
	}
	clause = strings.NewReplacer(`"public"."rows".`, "", "rows.", "").Replace(clause)
	return "SELECT " + clause + " FROM (SELECT " + strings.Join(cells, ", ") + ") r;"
}
