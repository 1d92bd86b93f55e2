// Package valuesets keeps what is known of the value sets that inner shapes
// select, as facts with the interval in which they hold: the commit markers of
// an inner shape's log (Markers), the verdicts on them (Chain), and a set as a whole at some place
// (History). A question about a place outside of the interval is answered with
// Wait or Gone and never with a guess.
//
// Two things are known from two sources. That a commit changed an inner shape is known from the
// shape's log, which this process writes: from where it began to take notes, every
// marker is noted; what came before is bounded by the log's last marker at that
// moment. What a commit changed in a set is known from the verdicts that the materializer
// publishes, one for each marker. So a history is complete up to a commit when
// the verdict on the last marker up to there has been read, and on no other grounds: that a
// base is further says nothing of the verdicts before it.
//
// Markers, Chain and History do no I/O and know no clock; they are not safe for concurrent use. Sets
// holds those of a session: it reads what is stored of a set (Load) and what comes (ReadVerdicts), and
// lets others wait until an answer is certain. It is safe for concurrent use.
package valuesets
