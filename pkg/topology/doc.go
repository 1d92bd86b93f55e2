// Package topology names everything that Shapebus stores or says in NATS:
// streams, subjects, buckets and headers. It also creates the streams and
// buckets (Ensure…). No other package spells a name.
//
//	stream CHANGES-<source>      sb.<source>.change.<schema>.<table>    fragments, one subject per table
//	                             sb.<source>.change._control            barriers, schema changes, resets
//	                             sb.<source>.change._fence              empty; where a new writer began
//	stream SHAPES-<source>-<p>   sb.<source>.shape.<p>.<handle>.log     a shape's log
//	                             sb.<source>.shape.<p>.<handle>.seg.<n> a segment: rows that the log refers to
//	                             sb.<source>.shape.<p>._checkpoint      how far the partition has come
//	                             sb.<source>.shape.<p>._fence           empty; where a new writer began
//	stream VERDICTS-<source>-<p> sb.<source>.verdict.<p>.<set>.delta    verdicts on a value set
//	                             sb.<source>.verdict.<p>.<set>.base     announcements of its bases
//	                             sb.<source>.verdict.<p>.<set>.base.<n> a base's values
//	                             sb.<source>.verdict.<p>.<set>.rows.<n> which rows have them, where the writer needs it
//	                             sb.<source>.verdict.<p>._fence         empty; where a new writer began
//	core NATS                    sb.<source>.live.<p>.<handle>          every log message again, once it is stored
//	core NATS                    sb.<source>.costs                      consumers ask each other what their shapes cost
//	core NATS                    shapebus.<source>.<endpoint>           the control plane (requests)
//	bucket SB-<source>-shapes    <definition id> → the shape; _source → the source
//	bucket SB-<source>-relations <fingerprint> → schema; oid.<oid> → fingerprint of the newest
//	bucket SB-<source>-leases    consumer, materializer-<p> → who has the right to write
//	bucket SB-<source>-members   <role>.<name> → a process that is there
//
// Schema and table names are escaped into subject tokens by Token. A handle is
// a token by construction.
package topology
