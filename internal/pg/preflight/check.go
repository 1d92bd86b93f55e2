package preflight

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/prepare"
	"github.com/shapebus/shapebus/internal/pg/slots"
)

// MinMajor is the oldest server version that works: the first whose pgoutput
// carries logical messages.
const MinMajor = 14

// Level is how much a finding matters.
type Level string

// The levels of a finding.
const (
	LevelOK   Level = "ok"
	LevelWarn Level = "warn" // works, with a risk that somebody should know of
	LevelFail Level = "fail" // does not work until it is fixed
)

// Finding is the outcome of one check.
type Finding struct {
	Name   string // what was checked, such as "wal_level" or "table public.items"
	OK     bool   // false for LevelFail only
	Level  Level
	Detail string // what was found, a sentence
	Fix    string // the statement or command to run; "" when there is nothing to do
}

func ok(name, detail string, args ...any) Finding {
	return Finding{Name: name, OK: true, Level: LevelOK, Detail: fmt.Sprintf(detail, args...)}
}

func warn(name, fix, detail string, args ...any) Finding {
	return Finding{Name: name, OK: true, Level: LevelWarn, Detail: fmt.Sprintf(detail, args...), Fix: fix}
}

func fail(name, fix, detail string, args ...any) Finding {
	return Finding{Name: name, Level: LevelFail, Detail: fmt.Sprintf(detail, args...), Fix: fix}
}

// Options says what to check beyond the server itself. Empty fields are
// left out.
type Options struct {
	Publication string
	Slot        string
	// Tables are names as SQL writes them: items, public.items, "My Schema"."my.table".
	Tables []string
	// Connections is how many the services may open together.
	Connections int
}

// server is what the checks need to know of the server and the role.
type server struct {
	walLevel, encoding, role, database, keepSize string
	idle                                         string // idle_replication_slot_timeout, "0" before Postgres 18
	recovery, super, replication, create         bool
	slots, slotsUsed, senders, sendersUsed       int
}

// Check finds out whether this server, role, publication, slot and tables are
// ready for Shapebus. It changes nothing. It never fails as a whole: what could
// not be found out is a finding.
func Check(ctx context.Context, conn *pgx.Conn, o Options) []Finding {
	version := conn.PgConn().ParameterStatus("server_version")
	if major := pg.Major(conn); major < MinMajor {
		return []Finding{fail("version", fmt.Sprintf("upgrade to Postgres %d or later", MinMajor),
			"the server is Postgres %s, too old for logical messages", version)}
	}
	list := []Finding{ok("version", "Postgres %s", version), checkSession(ctx, conn)}
	if o.Connections > 0 {
		list = append(list, checkConnections(ctx, conn, o.Connections))
	}
	s, err := readServer(ctx, conn)
	if err != nil {
		return append(list, fail("server settings", "", "cannot be read: %s", err))
	}
	list = append(list, s.checkPrimary(), s.checkWALLevel(), s.checkEncoding(), s.checkRole())
	slot := slots.Info{}
	if o.Slot != "" {
		if slot, err = slots.Lookup(ctx, conn, o.Slot); err != nil {
			list = append(list, fail("slot "+o.Slot, "", "cannot be read: %s", err))
		} else {
			list = append(list, s.checkSlot(o.Slot, slot))
		}
	}
	list = append(list, s.checkSlots(slot), s.checkSenders(slot), s.checkKeepSize())
	list = append(list, s.checkIdle()...)
	list = append(list, checkStandbys(ctx, conn, slot)...)
	if o.Publication != "" {
		list = append(list, s.checkPublication(ctx, conn, o.Publication))
		list = append(list, checkHarm(ctx, conn, o.Publication)...)
	}
	for _, name := range o.Tables {
		list = append(list, checkTable(ctx, conn, o.Publication, s.role, name)...)
	}
	return list
}

func readServer(ctx context.Context, conn *pgx.Conn) (*server, error) {
	var s server
	err := conn.QueryRow(ctx, `
		SELECT current_setting('wal_level'), current_setting('server_encoding'), current_user, current_database(),
			current_setting('max_slot_wal_keep_size'), coalesce(current_setting('idle_replication_slot_timeout', true), '0'),
			pg_is_in_recovery(), r.rolsuper,
			r.rolreplication OR EXISTS (SELECT FROM pg_roles m WHERE m.rolname = 'rds_replication' AND pg_has_role(current_user, m.oid, 'MEMBER')),
			has_database_privilege(current_database(), 'CREATE'),
			current_setting('max_replication_slots')::int, (SELECT count(*) FROM pg_replication_slots)::int,
			current_setting('max_wal_senders')::int, (SELECT count(*) FROM pg_stat_replication)::int
		FROM pg_roles r WHERE r.rolname = current_user`).Scan(
		&s.walLevel, &s.encoding, &s.role, &s.database, &s.keepSize, &s.idle, &s.recovery, &s.super, &s.replication, &s.create,
		&s.slots, &s.slotsUsed, &s.senders, &s.sendersUsed)
	return &s, err
}

func (s *server) checkPrimary() Finding {
	const name = "primary"
	if s.recovery {
		return fail(name, "connect to the primary (target_session_attrs=read-write in the connection string finds it)",
			"this server is a standby: Shapebus writes barriers and its publication")
	}
	return ok(name, "the server accepts writes")
}

func (s *server) checkWALLevel() Finding {
	const name = "wal_level"
	if s.walLevel != "logical" {
		return fail(name, slots.WALLevelSQL+"; then restart the server (managed services have a parameter for it, such as rds.logical_replication = 1)",
			"wal_level is %s: changes cannot be decoded from the WAL", s.walLevel)
	}
	return ok(name, "logical")
}

func (s *server) checkEncoding() Finding {
	const name = "encoding"
	if s.encoding != "UTF8" {
		return fail(name, "move the data to a database created with ENCODING 'UTF8'",
			"database %s is encoded as %s: its text has no unambiguous form in UTF-8", s.database, s.encoding)
	}
	return ok(name, "UTF8")
}

func (s *server) checkRole() Finding {
	const name = "role"
	if !s.super && !s.replication {
		return fail(name, fmt.Sprintf("ALTER ROLE %[1]s REPLICATION (on Amazon RDS: GRANT rds_replication TO %[1]s)", pg.Ident(s.role)),
			"role %s may not use replication", s.role)
	}
	return ok(name, "%s may use replication", s.role)
}

func (s *server) checkSlots(slot slots.Info) Finding {
	return s.checkFree("max_replication_slots", slot.Exists, "replication slots", s.slots, s.slotsUsed,
		"drop one that nobody uses (SELECT pg_drop_replication_slot('…'), see pg_replication_slots), or ")
}

func (s *server) checkSenders(slot slots.Info) Finding {
	return s.checkFree("max_wal_senders", slot.Active, "walsender processes", s.senders, s.sendersUsed, "")
}

func (s *server) checkFree(name string, have bool, things string, limit, used int, fix string) Finding {
	if !have && used >= limit {
		return fail(name, fmt.Sprintf("%sALTER SYSTEM SET %s = %d; then restart the server", fix, name, max(10, 2*limit)),
			"all %d %s are in use", limit, things)
	}
	return ok(name, "%d of %d %s in use", used, limit, things)
}

func (s *server) checkKeepSize() Finding {
	const name = "max_slot_wal_keep_size"
	if s.keepSize == "-1" {
		return warn(name, "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf() (less than the free space of the WAL's disk)",
			"there is no limit: while ingest is stopped the slot keeps all WAL, until the server's disk is full. "+
				"With a limit the slot is lost at that point and every shape has to be fetched again")
	}
	return ok(name, "%s; if ingest lags further behind than that, the slot is lost and every shape has to be fetched again", s.keepSize)
}

// checkIdle warns of a limit to how long ingest may be away; nothing if there is none.
func (s *server) checkIdle() []Finding {
	const name = "idle_replication_slot_timeout"
	if s.idle == "0" {
		return nil
	}
	return []Finding{warn(name, "ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf() (max_slot_wal_keep_size bounds the WAL, too)",
		"%s: if ingest is stopped for longer than that, Postgres gives its slot up and every shape has to be fetched again", s.idle)}
}

func (s *server) checkSlot(name string, slot slots.Info) Finding {
	title, drop := "slot "+name, fmt.Sprintf("SELECT pg_drop_replication_slot(%s)", pg.Literal(name))
	switch {
	case !slot.Exists:
		return ok(title, "does not exist yet; ingest creates it")
	case slot.Plugin != "pgoutput":
		return fail(title, drop+" if nobody needs it, or choose another name", "is not a pgoutput slot (%s)", orWord(slot.Plugin, "physical"))
	case slot.Database != s.database:
		return fail(title, "choose another name: slots are shared by the whole server", "belongs to database %s, not %s", slot.Database, s.database)
	case slot.Lost():
		return fail(title, drop, "is lost (%s): %s. Ingest starts with a new slot, and every shape is fetched again",
			orWord(slot.InvalidationReason, slot.WALStatus), slot.LostReason())
	case slot.WALStatus == "unreserved":
		return warn(title, "see that ingest runs and keeps up",
			"is about to be lost: the WAL it needs may go at the next checkpoint (%s retained)", bytesText(slot.RetainedBytes))
	case slot.Active:
		return ok(title, "in use by pid %d, %s of WAL retained", slot.ActivePID, bytesText(slot.RetainedBytes))
	}
	return ok(title, "exists, nobody reads it now, %s of WAL retained", bytesText(slot.RetainedBytes))
}

func (s *server) checkPublication(ctx context.Context, conn *pgx.Conn, name string) Finding {
	title := "publication " + name
	state, err := prepare.LookupPublication(ctx, conn, name)
	switch {
	case err != nil:
		return fail(title, "", "cannot be read: %s", err)
	case state == nil && !s.create:
		needs := prepare.NeedsPublication(conn, name, nil)
		return fail(title, needs.Statement, "does not exist, and %s", needs.What)
	case state == nil:
		return ok(title, "does not exist yet; ingest creates it")
	}
	if needs := state.Check(name); needs != nil {
		return fail(title, needs.Statement, "%s", needs.What)
	}
	if state.LeavesOut {
		return warn(title, prepare.PublishStoredSQL(name), "leaves out stored generated columns, so tables that have one cannot be prepared for shapes; "+
			"ingest changes that if it owns the publication (role %s)", state.Owner)
	}
	if state.AllTables {
		return ok(title, "carries all tables")
	}
	return ok(title, "exists, owned by role %s", state.Owner)
}

func orWord(s, word string) string {
	if s == "" {
		return word
	}
	return s
}

// bytesText is a size for people.
func bytesText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0") + " " + units[i]
}

// checkStandbys is slots.StandbysDown as findings.
func checkStandbys(ctx context.Context, conn *pgx.Conn, slot slots.Info) []Finding {
	const name = "synchronized_standby_slots"
	down, err := slots.StandbysDown(ctx, conn, slot)
	if err != nil {
		return []Finding{fail(name, "", "%s", err)}
	}
	if len(down) == 0 {
		return nil
	}
	return []Finding{fail(name, "start the standby, or ALTER SYSTEM SET synchronized_standby_slots to those that run; SELECT pg_reload_conf()", "%s", strings.Join(down, "; "))}
}
