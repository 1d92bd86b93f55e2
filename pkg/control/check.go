package control

// EndpointCheck answers a CreateRequest with a Check. It only tells, for tools that help people.
const EndpointCheck = "where.check"

// Check is what would become of a CreateRequest, without anything being made: nothing is
// registered, and no table is prepared.
type Check struct {
	// Problem is what is wrong with the definition; nil if a shape could be made of it.
	Problem *Problem `json:"problem,omitempty"`

	// What was understood, as far as it was.
	Schema  string   `json:"schema,omitempty"`
	Table   string   `json:"table,omitempty"`
	Columns []Column `json:"columns,omitempty"` // of the table: all that Postgres replicates
	HasKey  bool     `json:"has_key"`
	Where   string   `json:"where,omitempty"`  // the clause as it is understood, printed in full
	Reads   []string `json:"reads,omitempty"`  // tables that its subqueries select from
	Handle  string   `json:"handle,omitempty"` // of the shape of this definition that there is already
	Hint    string   `json:"hint,omitempty"`   // what would make the shape cheaper to keep
}

// Problem says what is wrong with a definition, and where.
type Problem struct {
	Field    string `json:"field"`              // table, columns or where
	Position int    `json:"position,omitempty"` // in the clause, in characters from 1; 0 if it has no place
	Message  string `json:"message"`
	Hint     string `json:"hint,omitempty"` // what to do about it
	Code     string `json:"code"`           // with which the shape would be refused
}
