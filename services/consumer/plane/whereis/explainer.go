// Package whereis says where a row is: which shapes have it, and for each why, term by term, by what Postgres says at one moment.
// It reads, within bounds, and changes nothing.
package whereis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/plane/allow"
	"github.com/shapebus/shapebus/services/consumer/plane/answer"
	"github.com/shapebus/shapebus/services/consumer/plane/refuse"
)

// Page is how many shapes an answer names at most.
const Page = 100

// Bounds of what is said of a row.
const (
	explainRow        = 4 << 20 // bytes of a row that is read
	explainQuestions  = 200     // to Postgres, in one answer
	explainTerms      = 500     // of one shape
	explainCandidates = 3       // of one subquery's test
	explainCandidate  = 1 << 20
	explainQuestion   = "3s"
	rowCell           = 1 << 10 // bytes of a value
	termCell          = 256
	termSQL           = 512
)

// Explainer explains rows in one open snapshot.
type Explainer struct {
	ctx     context.Context //nolint:containedctx // of the request, which it serves alone
	conn    *pgconn.PgConn
	allowed allow.Tables

	asked int // questions so far
	terms int // of this shape so far
}

// New explains rows of the snapshot that is open on conn, for the request that ctx belongs to. It looks into no tables but those
// that are allowed.
func New(ctx context.Context, conn *pgconn.PgConn, allowed allow.Tables) *Explainer {
	return &Explainer{ctx: ctx, conn: conn, allowed: allowed}
}

// Row reads the row with a key; nil without one.
func (x *Explainer) Row(t *pg.TableInfo, key map[string]string) ([][]byte, error) {
	columns, conditions := make([]string, len(t.Relation.Columns)), make([]string, len(t.PrimaryKey))
	for i, c := range t.Relation.Columns {
		columns[i] = pg.Ident(c.Name)
	}
	for i, k := range t.PrimaryKey {
		conditions[i] = pg.Ident(k) + " = " + pg.Literal(key[k])
	}
	from := fmt.Sprintf("FROM (SELECT * FROM %s WHERE %s) AS found", pg.Qualified(t.Relation.Schema, t.Relation.Name), strings.Join(conditions, " AND "))
	sizes, err := x.query("SET LOCAL statement_timeout = '" + explainQuestion + "'; SELECT octet_length((found.*)::text) > " + strconv.Itoa(explainRow) + ", octet_length((found.*)::text) " + from)
	switch {
	case err != nil:
		return nil, x.refused(t, err)
	case len(sizes) == 0:
		return nil, nil
	case string(sizes[0][0]) != "f":
		return nil, errRowLarge(t, string(sizes[0][1]))
	}
	rows, err := x.query("SELECT " + strings.Join(columns, ", ") + " " + from)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}

// refused tells a value that is none of the key's type from what may pass.
func (x *Explainer) refused(t *pg.TableInfo, err error) error {
	const dataException = "22"
	if said, ok := errors.AsType[*pgconn.PgError](err); ok && strings.HasPrefix(said.Code, dataException) {
		return refuse.BadRequest("the key is none of table %s: %s", t, said.Message)
	}
	return fmt.Errorf("read the row of table %s: %w", t, err)
}

func (x *Explainer) query(sql string) ([][][]byte, error) {
	results, err := x.conn.Exec(x.ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	return results[len(results)-1].Rows, nil
}

// question is a query that may fail without harm to the snapshot.
func (x *Explainer) question(sql string) ([][][]byte, error) {
	if x.asked++; x.asked > explainQuestions {
		return nil, fmt.Errorf("not asked: an answer has at most %d questions to Postgres", explainQuestions)
	}
	rows, err := x.query("SAVEPOINT question; " + sql)
	end := "RELEASE question"
	if err != nil {
		end = "ROLLBACK TO question"
	}
	if _, failed := x.query(end); failed != nil {
		return nil, errors.Join(err, failed)
	}
	return rows, err
}

// Membership says whether a live shape has the row.
func (x *Explainer) Membership(rec *registry.Shape, table *pg.TableInfo, row [][]byte) control.RowMembership {
	if rec.Structure != table.Structure() {
		return control.RowMembership{Problem: "the table is not what it was when the shape was made; the shape is about to end"}
	}
	pred, err := follow.Compile(rec.Definition.Where, rec.Definition.Params, rec.Table, follow.Known(rec.InnerTables))
	if err != nil {
		return control.RowMembership{Problem: refuse.Cut(err.Error())}
	}
	if problem := unordered(pred, row); problem != "" {
		return control.RowMembership{Problem: problem}
	}
	x.terms = 0
	why := x.explain(pred, table, row, rec.InnerTables)
	return control.RowMembership{Matches: why.Truth == control.TruthTrue, Why: &why}
}

// unordered says why a clause must not be asked about a row, which has a label that is younger than the shape; "" if it may.
func unordered(pred *predicate.Predicate, row [][]byte) string {
	label, column, found := pred.Unordered(row)
	if !found {
		return ""
	}
	return fmt.Sprintf("the shape does not know where the label '%s' in column %s stands among the others; the shape is about to end", label, column)
}

// explain explains a clause for a row of its table; inner are the tables that its subqueries select
// from.
func (x *Explainer) explain(pred *predicate.Predicate, table *pg.TableInfo, row [][]byte, inner []*pg.TableInfo) control.Term {
	if steps := pred.Steps(row); steps > predicate.MaxSteps {
		return control.Term{Truth: control.TruthUnknown, SQL: "the row is too large for the clause"}
	}
	members := make([]predicate.Truth, len(pred.Subqueries()))
	tests := make([]*control.SetTest, len(members))
	for i, q := range pred.Subqueries() {
		members[i], tests[i] = x.test(q, row, inner)
	}
	return x.term(pred.Explain(row, members), table, row, tests)
}

// test asks whether the row passes a subquery's test, and which rows of the subquery's table have
// to do with that.
func (x *Explainer) test(q *predicate.Subquery, row [][]byte, inner []*pg.TableInfo) (predicate.Truth, *control.SetTest) {
	out := &control.SetTest{Schema: q.Schema, Table: q.Table, Columns: q.Select}
	if sql := q.Inner.SQL(); sql != "true" {
		out.Where = answer.Brief(sql, termSQL)
	}
	if err := x.allowed.Check(q.Schema, q.Table); err != nil {
		out.Problem = refuse.Cut(err.Error())
		return predicate.Unknown, out
	}
	found, err := x.question(q.TestSQL(row))
	if err != nil {
		out.Problem = refuse.Cut(err.Error())
		return predicate.Unknown, out
	}
	truth := truthOf(found)
	for _, t := range inner {
		if t.Relation.Schema == q.Schema && t.Relation.Name == q.Table {
			x.candidates(out, q, t, row, inner)
			break
		}
	}
	return truth, out
}

// toldBefore stands for the candidates of a subquery that a clause uses again.
const toldBefore = "the same subquery as before"

// truthOf reads a row of one boolean.
func truthOf(rows [][][]byte) predicate.Truth {
	switch {
	case len(rows) != 1 || len(rows[0]) != 1 || rows[0][0] == nil:
		return predicate.Unknown
	case string(rows[0][0]) == "t":
		return predicate.True
	}
	return predicate.False
}

// candidates adds the rows that have the value that is looked for.
func (x *Explainer) candidates(out *control.SetTest, q *predicate.Subquery, t *pg.TableInfo, row [][]byte, inner []*pg.TableInfo) {
	var columns []string
	for _, c := range t.Relation.Columns {
		columns = append(columns, c.Name)
	}
	rows, err := x.question(q.CandidatesSQL(row, columns, explainCandidates+1, explainCandidate))
	if err != nil {
		out.Problem = refuse.Cut(err.Error())
		return
	}
	if len(rows) > explainCandidates {
		rows, out.More = rows[:explainCandidates], true
	}
	for _, candidate := range rows {
		c := control.Candidate{Key: []control.Cell{}}
		for i, name := range columns {
			for _, k := range t.PrimaryKey {
				if k == name {
					c.Key = append(c.Key, cellOf(name, candidate[i], termCell))
				}
			}
		}
		if problem := unordered(q.Inner, candidate); problem != "" {
			c.Why = control.Term{Truth: control.TruthUnknown, SQL: problem}
		} else {
			c.Why = x.explain(q.Inner, t, candidate, inner)
		}
		out.Candidates = append(out.Candidates, c)
	}
}

// term is a part of a clause in the form of an answer.
func (x *Explainer) term(t predicate.Term, table *pg.TableInfo, row [][]byte, tests []*control.SetTest) control.Term {
	out := control.Term{Truth: control.Truth(t.Truth), Join: t.Join, SQL: answer.Brief(t.SQL, termSQL)}
	for _, a := range t.Args {
		if x.terms++; x.terms > explainTerms {
			out.Args = append(out.Args, control.Term{Truth: control.TruthUnknown, SQL: "…"})
			break
		}
		out.Args = append(out.Args, x.term(a, table, row, tests))
	}
	for _, c := range t.Columns {
		out.Cells = append(out.Cells, cellOf(table.Relation.Columns[c].Name, row[c], termCell))
	}
	if t.Subquery >= 0 {
		// Candidates are told once: a clause may use a subquery a thousand times.
		test := *tests[t.Subquery]
		out.Test = &test
		tests[t.Subquery].Candidates, tests[t.Subquery].More, tests[t.Subquery].Problem = nil, false, toldBefore
	}
	return out
}

// cellOf is a value of at most so many bytes.
func cellOf(column string, value []byte, limit int) control.Cell {
	if value == nil {
		return control.Cell{Column: column}
	}
	text := string(value)
	if len(text) > limit {
		return control.Cell{Column: column, Value: new(answer.Whole(text[:limit])), Cut: true}
	}
	return control.Cell{Column: column, Value: &text}
}

// RowWithin is a row in so many bytes: its values are cut the shorter the more of them there are,
// and left out in the end.
func RowWithin(table *pg.TableInfo, row [][]byte, room int) ([]control.Cell, error) {
	for _, limit := range []int{rowCell, rowCell / 8, rowCell / 64} {
		cells := make([]control.Cell, len(row))
		for i, c := range table.Relation.Columns {
			cells[i] = cellOf(c.Name, row[i], limit)
		}
		data, err := answer.Encode(cells)
		if err != nil || len(data) <= room {
			return cells, err
		}
	}
	return nil, nil
}

// errRowLarge says that a row is larger than one that is explained.
func errRowLarge(table *pg.TableInfo, size string) error {
	return refuse.With(control.CodeTooLarge, "the row of table %s has %s bytes, and one that is explained at most %d", table, size, explainRow)
}
