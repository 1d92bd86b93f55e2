package topology

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Headers of stored messages.
const (
	// HeaderLSN is on every change log message: the commit LSN of its last
	// transaction, or a control entry's LSN, decimal. It never falls from one
	// message to the next, so a place can be found by binary search.
	HeaderLSN = "Sb-Lsn"
	// HeaderAfter is on every change log message: the LSN of the message before
	// it, as its writer knows it, decimal. All that committed at or below it stands before
	// this message in the log, or has stood there. So a reader who has everything up to
	// some LSN has lost something exactly if that is lower; see stream.Place.
	HeaderAfter = "Sb-After"
	// HeaderMore is on a change log message behind which more with its LSN
	// follows: "1". What its last transaction did is not complete with it.
	HeaderMore = "Sb-More"
	// HeaderPart is on the parts of a message that is larger than the server
	// takes: "<index>/<count>", from 0. Parts follow one another on their subject.
	HeaderPart = "Sb-Part"
	// HeaderTail is on every shape log message; see wire.Tail. A part that is
	// not the last carries the tail from before the message.
	HeaderTail = "Sb-Tail"
	// HeaderVerdict is on every verdict: the offset of the commit marker that it
	// is about, so that the last message alone tells a new writer where to go on.
	HeaderVerdict = "Sb-Verdict"
	// HeaderVerdictAfter is on every verdict: the offset of the verdict before it,
	// or "0_0"; so a reader can tell that one which it needs has been removed.
	HeaderVerdictAfter = "Sb-Verdict-After"
	// HeaderFence is on empty messages that only take up sequences, so that the
	// messages of a writer before do not fit in any more; their number, from 1.
	HeaderFence = "Sb-Fence"
	// HeaderTrace is on messages of the change log and of shape logs that hold one transaction, or one unit, and
	// nothing else, if that transaction is traced: its context, as W3C Trace Context has it.
	HeaderTrace = "traceparent"
)

// FenceToken ends the subject of a stream's fence messages; see HeaderFence.
const FenceToken = "_fence"

// Source is the name of one Postgres database in streams and subjects.
type Source string

// ParseSource checks that s can stand in stream names and subjects.
func ParseSource(s string) (Source, error) {
	if s == "" || len(s) > 32 {
		return "", fmt.Errorf("source name %q: want 1 to 32 characters", s)
	}
	for _, c := range s {
		if !plain(byte(c)) || c > 127 {
			return "", fmt.Errorf("source name %q: use letters, digits, _ and - only", s)
		}
	}
	return Source(s), nil
}

func plain(c byte) bool {
	return c == '_' || c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// Token escapes any name into one subject token: bytes other than letters,
// digits, _ and - become %XX.
func Token(name string) string {
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; plain(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// ChangeStream is the stream that holds the change log.
func (s Source) ChangeStream() string { return "CHANGES-" + string(s) }

// ChangeSubject is a table's subject in the change log.
func (s Source) ChangeSubject(schema, table string) string {
	return "sb." + string(s) + ".change." + Token(schema) + "." + Token(table)
}

// ControlSubject is the change log's subject for control entries.
func (s Source) ControlSubject() string { return "sb." + string(s) + ".change._control" }

// ShapeStream is the stream that holds partition p's shape logs.
func (s Source) ShapeStream(p int) string { return fmt.Sprintf("SHAPES-%s-%d", s, p) }

func (s Source) partition(p int) string { return fmt.Sprintf("sb.%s.shape.%d.", s, p) }

// LogSubject is the subject of a shape's log.
func (s Source) LogSubject(p int, handle string) string { return s.partition(p) + handle + ".log" }

// LogSubjects matches the logs of every shape of partition p.
func (s Source) LogSubjects(p int) string { return s.partition(p) + "*.log" }

// SegmentSubject is the subject of a shape's n-th segment.
func (s Source) SegmentSubject(p int, handle string, n uint64) string {
	return s.partition(p) + handle + ".seg." + strconv.FormatUint(n, 10)
}

// SegmentSubjects matches every segment of a shape.
func (s Source) SegmentSubjects(p int, handle string) string {
	return s.partition(p) + handle + ".seg.*"
}

// GenerationSubject is the subject of a shape's newest generation. It has as many tokens as a segment's: programs
// that know logs only take nothing of that form for one.
func (s Source) GenerationSubject(p int, handle string) string {
	return s.partition(p) + handle + ".gen.last"
}

// HandleOfLog returns the handle in a log subject, "" for any other.
func HandleOfLog(subject string) string {
	tokens := strings.Split(subject, ".")
	if len(tokens) != 6 || tokens[5] != "log" {
		return ""
	}
	return tokens[4]
}

// HandleOfGeneration returns the handle in the subject of a newest generation, "" for any other.
func HandleOfGeneration(subject string) string {
	tokens := strings.Split(subject, ".")
	if len(tokens) != 7 || tokens[5] != "gen" || tokens[6] != "last" {
		return ""
	}
	return tokens[4]
}

// CheckpointSubject is the subject of partition p's checkpoints.
func (s Source) CheckpointSubject(p int) string { return s.partition(p) + "_checkpoint" }

// VerdictStream is the stream that holds the verdicts on the inner shapes of
// partition p.
func (s Source) VerdictStream(p int) string { return fmt.Sprintf("VERDICTS-%s-%d", s, p) }

func (s Source) verdicts(p int) string { return fmt.Sprintf("sb.%s.verdict.%d.", s, p) }

// VerdictSubject is the subject of the verdicts on a value set.
func (s Source) VerdictSubject(p int, set string) string { return s.verdicts(p) + set + ".delta" }

// BaseSubject is the subject of the announcements of a value set's bases.
func (s Source) BaseSubject(p int, set string) string { return s.verdicts(p) + set + ".base" }

// BaseValuesSubject is the subject of the values of a value set's n-th base.
func (s Source) BaseValuesSubject(p int, set string, n uint64) string {
	return s.verdicts(p) + set + ".base." + strconv.FormatUint(n, 10)
}

// BaseRowsSubject is the subject of what a value set's n-th base holds for the
// set's own writer: which row of the inner shape has which value.
func (s Source) BaseRowsSubject(p int, set string, n uint64) string {
	return s.verdicts(p) + set + ".rows." + strconv.FormatUint(n, 10)
}

// VerdictSubjects matches everything about the value sets of partition p.
func (s Source) VerdictSubjects(p int) string { return s.verdicts(p) + ">" }

// SetSubjects matches everything about one value set.
func (s Source) SetSubjects(p int, set string) string { return s.verdicts(p) + set + ".>" }

// ValueSet names the values that some columns of an inner shape have: the
// shape's handle and the columns' places among the shape's, in the order in which a
// subquery selects them.
func ValueSet(handle string, columns []int) string {
	b := append([]byte(handle), '_')
	for i, c := range columns {
		if i > 0 {
			b = append(b, '-')
		}
		b = strconv.AppendInt(b, int64(c), 10)
	}
	return string(b)
}

// SetOfSubject returns the value set that a subject of a verdict stream is
// about, whatever it says of it; "" for those of the stream itself.
func SetOfSubject(subject string) string {
	const least, setToken = 6, 4
	if t := strings.Split(subject, "."); len(t) >= least {
		return t[setToken]
	}
	return ""
}

// BaseNumber returns the number of the base that a subject of a verdict stream
// holds values or rows of; ok is false for other subjects.
func BaseNumber(subject string) (n uint64, ok bool) {
	const tokens, numberToken = 7, 6
	t := strings.Split(subject, ".")
	if len(t) != tokens {
		return 0, false
	}
	n, err := strconv.ParseUint(t[numberToken], 10, 64)
	return n, err == nil
}

// SetOfVerdict returns the value set that a subject of a verdict stream is
// about, and what the message is: "delta" or "base"; both are empty for values of a base.
func SetOfVerdict(subject string) (set, what string) {
	const tokens, setToken, whatToken = 6, 4, 5
	t := strings.Split(subject, ".")
	if len(t) != tokens {
		return "", ""
	}
	return t[setToken], t[whatToken]
}

// LiveSubject is the core NATS subject on which a shape's log messages appear
// once they are stored.
func (s Source) LiveSubject(p int, handle string) string {
	return fmt.Sprintf("sb.%s.live.%d.%s", s, p, handle)
}

// ShapeBucket is the key-value bucket of shapes and of the source's own record.
func (s Source) ShapeBucket() string { return "SB-" + string(s) + "-shapes" }

// RelationBucket holds table schemas.
func (s Source) RelationBucket() string { return "SB-" + string(s) + "-relations" }

// LeaseBucket holds partition ownership.
func (s Source) LeaseBucket() string { return "SB-" + string(s) + "-leases" }

// MemberBucket holds the processes that are there to share work; see MemberTTL.
func (s Source) MemberBucket() string { return "SB-" + string(s) + "-members" }

// Owns reports whether a stream is one of the source's, those of its buckets among them.
func (s Source) Owns(stream string) bool {
	switch stream {
	case s.ChangeStream(), "KV_" + s.ShapeBucket(), "KV_" + s.RelationBucket(), "KV_" + s.LeaseBucket(), "KV_" + s.MemberBucket():
		return true
	}
	p, err := strconv.Atoi(stream[strings.LastIndexByte(stream, '-')+1:])
	return err == nil && p >= 0 && p < MaxPartitions && (stream == s.ShapeStream(p) || stream == s.VerdictStream(p))
}

// MaterializerDurable is the durable consumer on a partition's shape logs with
// which the materializer reads them.
const MaterializerDurable = "materializer"

// Roles of the processes that share the partitions of a source.
const (
	RoleConsumer     = "consumer"
	RoleMaterializer = "materializer"
)

// HoldingKey is the key of the lease on what a role writes of partition p.
func HoldingKey(role string, p int) string { return role + "." + strconv.Itoa(p) }

// OldLeaseKey is the key of the lease with which processes of older versions kept each other from what HoldingKey covers now.
func OldLeaseKey(role string, p int) string {
	if role == RoleConsumer {
		return role // on all partitions
	}
	return role + "-" + strconv.Itoa(p)
}

// HoldingKeys are the keys of a role's leases.
func HoldingKeys(role string) string { return role + ".*" }

// MemberSubject is where the process answers, on core NATS, that announced itself with an incarnation.
func (s Source) MemberSubject(incarnation string) string {
	return fmt.Sprintf("sb.%s.member.%s", s, incarnation)
}

// IsInbox reports whether an answer may be sent to a subject: it begins with _, as inboxes do, and no stream's subjects, no
// commands to the server and no requests to others. NATS lets whoever asks name any subject for the answer, whatever the
// asker itself may publish on; the one who answers has to look.
func IsInbox(subject string) bool { return strings.HasPrefix(subject, "_") }

// CostsSubject is where every consumer says, on core NATS, what its shapes cost.
func (s Source) CostsSubject() string { return "sb." + string(s) + ".costs" }

// MemberKey is the key under which a process announces itself, for each role.
func MemberKey(role, name string) string {
	return role + "." + strings.ReplaceAll(Token(name), "%", "=")
}

// Keys in the buckets.
const (
	// SourceKey in the shape bucket holds the source's own record.
	SourceKey = "_source"
	// IngestKey in the relation bucket holds ingest's record of the database and of what was read from it.
	IngestKey = "_ingest"
)

// OIDKey is the key of a table's newest fingerprint in the relation bucket.
func OIDKey(oid uint32) string { return "oid." + strconv.FormatUint(uint64(oid), 10) }

// OIDKeys matches every OIDKey.
const OIDKeys = "oid.*"

// PreparedKey is the key in the relation bucket of what a table was before it was prepared for shapes.
func PreparedKey(oid uint32) string { return "prepared." + strconv.FormatUint(uint64(oid), 10) }

// PreparedKeys matches every PreparedKey.
const PreparedKeys = "prepared.*"

// ControlPlane is the subject prefix of the source's request endpoints.
func (s Source) ControlPlane() string { return "shapebus." + string(s) }

// Publication is the publication's default name in Postgres.
func (s Source) Publication() string { return s.inPostgres() }

// Slot is the replication slot's default name.
func (s Source) Slot() string { return s.inPostgres() }

// inPostgres is a name that differs from every other source's. Slot names have
// lower-case letters, digits and _ only; a source name with others gets a
// digest of itself appended.
func (s Source) inPostgres() string {
	name := strings.ReplaceAll(strings.ToLower(string(s)), "-", "_")
	if name != string(s) {
		sum := sha256.Sum256([]byte(s))
		name += "_" + hex.EncodeToString(sum[:4])
	}
	return "shapebus_" + name
}

// BarrierPrefix is the prefix of logical messages that ingest publishes as barriers.
const BarrierPrefix = "shapebus"
