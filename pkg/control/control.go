package control

import (
	"time"

	"github.com/shapebus/shapebus/pkg/change"
)

// ServiceName is the micro service's name.
const ServiceName = "shapebus"

// Endpoints, after the prefix topology.Source.ControlPlane and a dot.
const (
	EndpointCreate = "shape.create" // CreateRequest → Shape
	EndpointGet    = "shape.get"    // ShapeRequest → Shape
	EndpointList   = "shape.list"   // ListRequest → ListResponse
	EndpointDelete = "shape.delete" // ShapeRequest → Shape
	EndpointFold   = "shape.fold"   // ShapeRequest → Shape
	EndpointTop    = "shape.top"    // TopRequest → TopResponse
	EndpointStatus = "source.status"
)

// Codes of errors.
const (
	CodeBadRequest  = "400" // the request is wrong; the text says where
	CodeForbidden   = "403" // Postgres or NATS does not allow it; the text says what to grant
	CodeNotFound    = "404" // no such shape
	CodeConflict    = "409" // the shape is being deleted or cleared away; try again
	CodeQuota       = "429" // the source has as many shapes, or as large ones, as it may have
	CodeTooLarge    = "413" // what is asked for does not fit into a NATS message; the text says what to do
	CodeUnavailable = "503" // Postgres or JetStream cannot be reached; try again
)

// WriteUnit is how shapes are written: in fragments of transactions, whatever
// the shape and however large the transaction.
const WriteUnit = "txn_fragment"

// CreateRequest asks for a shape. Asking again for the same one finds it.
type CreateRequest struct {
	Table   string    `json:"table"`             // as SQL writes it: tasks, public.tasks, "My Table"
	Columns []string  `json:"columns,omitempty"` // none means all that Postgres replicates
	Where   string    `json:"where,omitempty"`   // SQL; see docs/PREDICATES.md
	Params  []*string `json:"params,omitempty"`  // values of $1, $2, …; nil for NULL
}

// ShapeRequest names a shape by its handle or its id.
type ShapeRequest struct {
	Shape string `json:"shape"`
}

// ListRequest asks for a page of shapes in the order of their ids.
type ListRequest struct {
	After string `json:"after,omitempty"` // id after which to start
	Limit int    `json:"limit,omitempty"` // default and maximum 500; a page has fewer if no more fit into a message
}

// ListResponse is a page of shapes, not empty if there are more: the next one begins after its last.
type ListResponse struct {
	Shapes []Shape `json:"shapes"`
	More   bool    `json:"more"`
}

// What TopRequest can ask by.
const (
	TopCPU   = "cpu"   // the time that judging changes takes
	TopBytes = "bytes" // what is written to logs and segments
)

// TopRequest asks which shapes cost most at present.
type TopRequest struct {
	By    string `json:"by,omitempty"`    // one of the Top constants; default TopCPU
	Limit int    `json:"limit,omitempty"` // default 20, at most 50
}

// TopResponse are the shapes that cost most, the dearest first. Who costs less than a 256th of all may be missing.
type TopResponse struct {
	// Seconds is the time that the figures cover, up to now: one to two minutes, less after a start.
	Seconds float64 `json:"seconds"`
	// CPU is how many cores judging changes for all shapes took, and BytesPerSecond what was written for them.
	CPU            float64 `json:"cpu"`
	BytesPerSecond float64 `json:"bytes_per_second"`
	// Silent are consumers that have not answered: their shapes are missing.
	Silent []string   `json:"silent,omitempty"`
	Shapes []TopShape `json:"shapes"`
}

// TopShape is what a shape costs.
type TopShape struct {
	Handle         string  `json:"handle"`
	State          State   `json:"state,omitempty"` // missing if the shape is gone
	Schema         string  `json:"schema,omitempty"`
	Table          string  `json:"table,omitempty"`
	Where          string  `json:"where,omitempty"` // its beginning, if it is long
	CPU            float64 `json:"cpu"`             // cores
	BytesPerSecond float64 `json:"bytes_per_second"`
	LogBytes       int64   `json:"log_bytes"` // from where new readers begin
	Rows           int64   `json:"rows"`      // as in Shape
}

// State is where a shape stands in its life.
type State string

// The states of a shape.
const (
	StateCreating State = "creating" // its snapshot is being read; the log may be subscribed to already
	StateLive     State = "live"     // it follows the change log
	StateEnded    State = "ended"    // it will not change any more; create it again for a new incarnation
	StateDeleting State = "deleting" // it was asked to go
)

// Column is a column of a shape.
type Column struct {
	Name     string `json:"name"`
	Type     uint32 `json:"type"`      // pg_type oid
	TypeName string `json:"type_name"` // as Postgres prints it, such as character varying(20)
	// Key columns identify a row; delete entries hold only them. Without a
	// primary key every column is a key column and equal rows may repeat.
	Key bool `json:"key"`
}

// Shape is what the control plane says of a shape.
type Shape struct {
	ID        string    `json:"id"`
	Handle    string    `json:"handle"`
	Partition int       `json:"partition"`
	State     State     `json:"state"`
	Reason    string    `json:"reason,omitempty"` // why it ended, or what its creation waits for
	Schema    string    `json:"schema"`
	Table     string    `json:"table"`
	Columns   []Column  `json:"columns"`
	HasKey    bool      `json:"has_key"` // false when identical rows may repeat
	Where     string    `json:"where,omitempty"`
	Params    []*string `json:"params,omitempty"` // nil for NULL
	// Subqueries are the handles of the inner shapes that the clause's
	// subqueries select from. Inner marks a shape that exists for others only: no app
	// has asked for it, and it goes with the last shape that depends on it.
	Subqueries []string `json:"subqueries,omitempty"`
	Inner      bool     `json:"inner,omitempty"`
	WriteUnit  string   `json:"write_unit"`
	// Hint says, in the answer of shape.create, what would make the shape cheaper to keep.
	Hint string `json:"hint,omitempty"`
	// Omitted says what is missing of a shape in a list, because it does not fit into one message.
	Omitted string `json:"omitted,omitempty"`

	Created time.Time `json:"created"`

	// Offset is the last commit marker in the log; it does not move while
	// nothing that concerns the shape happens. Applied is the LSN up to which
	// the log has every transaction that concerns the shape.
	Offset  change.Offset `json:"offset"`
	Applied change.LSN    `json:"applied"` // as text
	// LagBytes is the distance in WAL bytes from Applied to the end of the change log.
	LagBytes     int64 `json:"lag_bytes"`
	Rows         int64 `json:"rows"`          // at Offset; -1 when nobody has counted since a subquery's values changed
	LogBytes     int64 `json:"log_bytes"`     // written since the snapshot
	SnapshotRows int64 `json:"snapshot_rows"` // read so far while creating

	// Generation counts the folds of the log; 0: it begins with its snapshot. SinceBytes is what LogBytes has grown by
	// since it begins where new readers begin, Folded when the last fold was done.
	Generation uint64     `json:"generation"`
	SinceBytes int64      `json:"since_bytes"`
	Folded     *time.Time `json:"folded,omitempty"`
	Fold       *Fold      `json:"fold,omitempty"` // one that was asked for, or runs
}

// Fold is how far a fold of a shape's log is.
type Fold struct {
	Asked *time.Time `json:"asked,omitempty"` // by whom folds the shape by hand; else it was due
	Began *time.Time `json:"began,omitempty"` // missing while it waits
	Rows  int64      `json:"rows"`            // read so far
	Error string     `json:"error,omitempty"` // why the last attempt failed; it is tried again
}

// PartitionOwner is who writes a partition's shape logs.
type PartitionOwner struct {
	Partition int    `json:"partition"`
	Consumer  string `json:"consumer,omitempty"` // the process' name; missing if nobody does
	// Materializer is the process that keeps the partition's value sets; missing if nobody does.
	Materializer string     `json:"materializer,omitempty"`
	AppliedLSN   change.LSN `json:"applied_lsn"` // as text
	LagBytes     int64      `json:"lag_bytes"`   // of WAL behind the change log's end
}

// PartitionDown is a partition that cannot be written at present.
type PartitionDown struct {
	Partition int       `json:"partition"`
	Since     time.Time `json:"since"`
	Reason    string    `json:"reason"`
}

// Status is what the control plane says of a source.
type Status struct {
	Source      string `json:"source"`
	Version     string `json:"version"`
	Partitions  int    `json:"partitions"`
	Publication string `json:"publication"`
	Slot        string `json:"slot"`
	// SystemID and Database are which database of which Postgres cluster feeds the source; missing while nobody knows.
	SystemID string `json:"system_id,omitempty"`
	Database string `json:"database,omitempty"`

	Shapes map[State]int `json:"shapes"`
	// Unreadable are records of shapes that cannot be read; the shapes end, and
	// the consumer's log names the records and how to remove them.
	Unreadable int `json:"unreadable,omitempty"`

	// The change log and how far the consumer has come in it.
	ChangeMessages uint64 `json:"change_messages"`
	// ChangeSeq counts all messages that there were, also those that were removed.
	ChangeSeq   uint64     `json:"change_seq"`
	ChangeBytes uint64     `json:"change_bytes"`
	ChangeLSN   change.LSN `json:"change_lsn"`  // as text
	AppliedLSN  change.LSN `json:"applied_lsn"` // as text
	Unread      uint64     `json:"unread"`      // messages behind AppliedLSN
	LagBytes    int64      `json:"lag_bytes"`   // of WAL from AppliedLSN to ChangeLSN
	// LagSeconds is how long the first of the unread messages has been in the change log.
	LagSeconds float64 `json:"lag_seconds"`
	// ChangeAt is when the last message came into the change log.
	ChangeAt time.Time `json:"change_at,omitzero"`
	// Owners are who writes the partitions, one for each, and how far each is.
	Owners []PartitionOwner `json:"owners,omitempty"`
	// Down are the partitions that cannot be written at present. Their shapes
	// wait where they are, with those that depend on them, and go on by themselves.
	Down []PartitionDown `json:"down,omitempty"`

	// Problems are what a person has to mend: writes of the application that fail because of shapes,
	// and what keeps Postgres from sending changes.
	Problems []string `json:"problems,omitempty"`

	// The slot, as Postgres sees it; SlotError says why it is not known.
	SlotActive    bool       `json:"slot_active"`
	SlotConfirmed change.LSN `json:"slot_confirmed,omitzero"` // as text
	SlotLagBytes  int64      `json:"slot_lag_bytes"`          // WAL that Postgres keeps for it; 0 when it is lost
	// SlotWALStatus is reserved, extended, unreserved or lost, as in pg_replication_slots. SlotSafeBytes is how much WAL may be
	// written before the slot is in danger of being lost; -1 without a limit. SlotLost says why it is of no use any more.
	SlotWALStatus string `json:"slot_wal_status,omitempty"`
	SlotSafeBytes int64  `json:"slot_safe_bytes"`
	SlotLost      string `json:"slot_lost,omitempty"`
	SlotError     string `json:"slot_error,omitempty"`
}
