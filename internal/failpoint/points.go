package failpoint

// The points of ingest. Steps are those of the list in the package comment of services/ingest.
const (
	_ Point = iota // the zero value is no point

	// BetweenFragments is in step 3, after a fragment that is not the last of its transaction was
	// handed to the appender. The change log ends inside a transaction: ingest must continue it at
	// the op behind the last that is stored, even if it cuts the fragments otherwise now.
	BetweenFragments
	// AfterPublish is in step 3, after a message was handed to the appender, whose answer nobody has
	// seen. Any prefix of the messages in flight may be stored: ingest must read the tail and leave
	// out exactly what is there.
	AfterPublish
	// AfterAck is after step 4. The change log is ahead of the slot: ingest must read from Postgres
	// what is stored already and must not publish it again.
	AfterAck
	// BeforeConfirm is after step 6, when an LSN may be confirmed and is not. The slot stays where it
	// was: ingest must be sent everything behind it again and leave out what is stored.
	BeforeConfirm
	// SlotFree is before step 1, when a session has seen that nobody has the slot. It owns nothing: whoever takes the
	// slot now goes on as if there were no such session.
	SlotFree
	// Identified is before step 1, when a session knows which history the server tells and how far, and has not
	// judged the change log by it. It owns nothing: the next session finds all as it was, whoever writes meanwhile.
	Identified
)

// The points of the consumer. Steps are those of the list in the package comment of services/consumer.
const (
	// TableNoted is after the record of what a table was like before shapes, before the table is
	// changed. The consumer must prepare the table, or give it back, as if the record were new.
	TableNoted Point = iota + Identified + 1
	// TableGivenBack is after a table is as it was before shapes, before its record is deleted. The
	// consumer must find nothing left to give back, and delete the record.
	TableGivenBack
	// AfterFragment is in step 3, after the main loop has read a fragment and before what it became
	// is flushed. The logs may lack what was gathered: the consumer must read the fragment again.
	AfterFragment
	// AfterAppend is in step 3, after a log's message was handed to the appender. Some logs have the
	// transaction, others not or a part of it: the consumer must skip in each log what it has, to the op.
	AfterAppend
	// BeforeCheckpoint is before step 4 for one of the partitions. The checkpoints disagree: the
	// consumer must go on from the oldest one and skip what the logs of the others have.
	BeforeCheckpoint
	// SnapshotOpen is when a snapshot is open, of a shape that is created or of a group's unit, and
	// nothing of it is used. The consumer must take another one; nothing is stored that knows of it.
	SnapshotOpen
	// RowsRead is when the rows of one shape of a batch have been read, before step 1. The consumer
	// must create the shape from the beginning.
	RowsRead
	// MidSnapshot is in step 2, between two messages of a segment. The log is empty: the consumer
	// must take another snapshot, write another segment, and purge this one, to which nothing refers.
	MidSnapshot
	// AfterSnapshotRows is when all rows are in a segment, before step 1. As at MidSnapshot.
	AfterSnapshotRows
	// AfterSnapshotEntry is after the log's first entry was handed to the appender, in step 2. If it
	// is stored, the consumer must keep the snapshot and catch up from the place in the record; if it
	// is not, as at MidSnapshot.
	AfterSnapshotEntry
	// GroupFragment is in step 3, after a group of shapes with subqueries has read a fragment. The
	// consumer must begin the group again at its place in the checkpoint, or in the tail of its last
	// marker if that is later, and skip what the logs have.
	GroupFragment
	// UnitOpen is when a group's unit has its snapshot and frozen sets, and no barrier. The logs hold
	// nothing of the unit that counts: the consumer must begin the unit again at a snapshot of its own.
	UnitOpen
	// UnitWaits is when the unit's barrier is written and not read. The consumer must begin the unit
	// again and let the barrier pass, which belongs to nobody.
	UnitWaits
	// UnitRow is in step 3a, after a row was read back, whose entry may be stored. The log has an open
	// end: the consumer must abort it and begin the unit again. No reader may have shown the row.
	UnitRow
	// UnitReread is in step 3a, when all rows are read back and no marker is written. As at UnitRow.
	UnitReread
	// UnitMarked is after step 3b: the markers were handed to the appenders. Where one is stored, the
	// consumer must go on behind the unit's barrier with the transactions that the tail names; where it is
	// not, as at UnitRow.
	UnitMarked
	// ChainParted is in the unit in which a shape begins together with its chain, when the others have come to its end and go on in
	// a group of their own. For these it is as at UnitMarked, and the shape must begin again.
	ChainParted
	// FoldBegun is before step F1, when a fold's snapshot is open and nothing is stored. The consumer must go on
	// with the log as if there had been no fold, and fold it again.
	FoldBegun
	// FoldRow is in step F1, between two messages of a fold's segment. As at FoldBegun; the next fold of the
	// shape must purge the segment, to which nothing refers, before it has read all its rows.
	FoldRow
	// FoldCopied is after step F1, when all rows are stored and no generation says so. As at FoldRow.
	FoldCopied
	// FoldStored is after step F2, when the generation was handed to the appender. If it is stored, readers begin with
	// it and the consumer must purge what it replaces, after the grace; if it is not, as at FoldRow.
	FoldStored
	// FoldUntold is after step F2, when the generation is stored and the shape's record says that the fold goes on.
	// The consumer must purge what the generation replaces, and make the record right.
	FoldUntold
	// FoldCut is in step F3, when what stands before the generation is purged from the log, and neither the generations
	// before it nor their rows are. The consumer must purge these too.
	FoldCut
	// FoldPurged is in step F3, when the rows of the generation before are all that is left to purge. As at FoldCut.
	FoldPurged
)

// The points of the materializer. Steps are those of the list in the package comment of
// services/materializer.
const (
	// BeforeVerdict is in step 2, when a verdict is decided and not sent. The materializer must come
	// to the same verdict from the base and the log.
	BeforeVerdict Point = iota + FoldPurged + 1
	// AfterVerdict is in step 2, after a verdict was handed to the appender. The materializer must
	// publish it if it is not stored, and must not publish it twice.
	AfterVerdict
	// BeforeBase is before step 1 or 4. The base before it counts: the materializer must start from
	// it, and write this one when it is due.
	BeforeBase
	// AfterBaseValues is in step 1 or 4, when the values of a base are stored and its announcement is
	// not. As at BeforeBase; nobody may read the values, and the next base must purge them.
	AfterBaseValues
	// AfterBase is after step 1 or 4, before step 5. The new base counts: the materializer must start
	// from it, and the next base must purge the old one too.
	AfterBase
)

// The points of `shapebus source set` when it gives a source more partitions.
const (
	// StreamMade is after the stream of a new partition was made. Nobody knows of it: the command must find it when it
	// is given again.
	StreamMade Point = iota + AfterBase + 1
	// BeforeGrown is when all streams are there and the record is as it was. As at StreamMade.
	BeforeGrown
	// AfterGrown is when the record is stored, and nobody was told that. Consumers and materializers must take the new
	// partitions, and the command must find nothing left to do.
	AfterGrown
)

var points = [...]struct {
	service Service
	name    string
}{
	BetweenFragments: {Ingest, "between_fragments"},
	AfterPublish:     {Ingest, "after_publish"},
	AfterAck:         {Ingest, "after_ack"},
	BeforeConfirm:    {Ingest, "before_confirm"},
	SlotFree:         {Ingest, "slot_free"},
	Identified:       {Ingest, "server_identified"},

	TableNoted:         {Consumer, "table_noted"},
	TableGivenBack:     {Consumer, "table_given_back"},
	AfterFragment:      {Consumer, "after_fragment"},
	AfterAppend:        {Consumer, "after_append"},
	BeforeCheckpoint:   {Consumer, "before_checkpoint"},
	SnapshotOpen:       {Consumer, "snapshot_open"},
	RowsRead:           {Consumer, "rows_read"},
	MidSnapshot:        {Consumer, "mid_snapshot"},
	AfterSnapshotRows:  {Consumer, "after_snapshot_rows"},
	AfterSnapshotEntry: {Consumer, "after_snapshot_entry"},
	GroupFragment:      {Consumer, "group_fragment"},
	UnitOpen:           {Consumer, "unit_open"},
	UnitWaits:          {Consumer, "unit_waits"},
	UnitRow:            {Consumer, "unit_row"},
	UnitReread:         {Consumer, "unit_reread"},
	UnitMarked:         {Consumer, "unit_marked"},
	ChainParted:        {Consumer, "chain_parted"},
	FoldBegun:          {Consumer, "fold_begun"},
	FoldRow:            {Consumer, "fold_row"},
	FoldCopied:         {Consumer, "fold_copied"},
	FoldStored:         {Consumer, "fold_stored"},
	FoldUntold:         {Consumer, "fold_untold"},
	FoldCut:            {Consumer, "fold_cut"},
	FoldPurged:         {Consumer, "fold_purged"},

	BeforeVerdict:   {Materializer, "before_verdict"},
	AfterVerdict:    {Materializer, "after_verdict"},
	BeforeBase:      {Materializer, "before_base"},
	AfterBaseValues: {Materializer, "after_base_values"},
	AfterBase:       {Materializer, "after_base"},

	StreamMade:  {Source, "stream_made"},
	BeforeGrown: {Source, "before_grown"},
	AfterGrown:  {Source, "after_grown"},
}
