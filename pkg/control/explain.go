package control

import "github.com/shapebus/shapebus/pkg/change"

// EndpointExplain answers an ExplainRequest with an Explanation. It only tells, for tools that help
// people.
const EndpointExplain = "row.explain"

// ExplainRequest asks where a row of a table is: which shapes have it, and why.
type ExplainRequest struct {
	Table string            `json:"table"` // as SQL writes it
	Key   map[string]string `json:"key"`   // the primary key's columns, each with its value's text
	After string            `json:"after,omitempty"`
	Limit int               `json:"limit,omitempty"` // of shapes in the answer; default and maximum 100
}

// Explanation says which shapes a row is in, as it stands in Postgres at one moment.
type Explanation struct {
	Schema string `json:"schema"`
	Table  string `json:"table"`
	// Found is whether there is such a row. At is where that moment is in the WAL: a live shape whose
	// Applied is not below it has the row exactly if it matches.
	Found bool            `json:"found"`
	At    change.LSN      `json:"at"`            // as text
	Row   []Cell          `json:"row,omitempty"` // the row, long values cut
	In    []RowMembership `json:"in"`            // one for each shape of the table
	// Next is what to ask with as After to go on; "" when there are no more shapes.
	Next string `json:"next,omitempty"`
}

// Cell is a value of a row.
type Cell struct {
	Column string  `json:"column"`
	Value  *string `json:"value"`         // as Postgres prints it; nil for NULL
	Cut    bool    `json:"cut,omitempty"` // there is more of it
}

// RowMembership is whether a shape has a row.
type RowMembership struct {
	Shape   Shape  `json:"shape"`
	Matches bool   `json:"matches"`
	Why     *Term  `json:"why,omitempty"`     // missing if there is no such row
	Problem string `json:"problem,omitempty"` // why it cannot be said
}

// Truth is what a condition comes to: true, false or unknown.
type Truth string

// The truths of SQL.
const (
	TruthTrue    Truth = "true"
	TruthFalse   Truth = "false"
	TruthUnknown Truth = "unknown" // a NULL stands in the way, or it could not be found out
)

// Term is a part of a clause with what it comes to for the row.
type Term struct {
	Truth Truth  `json:"truth"`
	Join  string `json:"join,omitempty"` // AND, OR, NOT, IS TRUE and the like: Args are joined by it
	Args  []Term `json:"args,omitempty"`
	SQL   string `json:"sql,omitempty"`   // of a term without parts; cut if it is long
	Cells []Cell `json:"cells,omitempty"` // the values that it is about
	// Test is set for the test of a subquery.
	Test *SetTest `json:"test,omitempty"`
}

// SetTest is the test whether a value is among those that a subquery selects.
type SetTest struct {
	Schema  string   `json:"schema"`
	Table   string   `json:"table"`
	Columns []string `json:"columns"` // that it selects, in the order of the term's cells
	Where   string   `json:"where,omitempty"`
	// Candidates are rows of that table which have the value: why they are selected, or are not.
	// None means that no row has it, unless Problem says that it could not be found out.
	Candidates []Candidate `json:"candidates,omitempty"`
	More       bool        `json:"more,omitempty"` // there are more candidates
	Problem    string      `json:"problem,omitempty"`
}

// Candidate is a row of a subquery's table.
type Candidate struct {
	Key []Cell `json:"key"` // its primary key; empty without one
	Why Term   `json:"why"`
}
