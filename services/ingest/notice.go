package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/shapebus/shapebus/internal/pg/slots"
	"github.com/shapebus/shapebus/pkg/change"
)

// meaning is what a notice of the walsender means for the change log.
type meaning int

const (
	meansNothing meaning = iota
	// meansSkipped: the publication did not exist when the changes were written, and they are left
	// out. Postgres 18 says so with a warning and goes on; before, it was an error.
	meansSkipped
	// meansWaiting: nothing is sent until a standby has received it (Postgres 17 on).
	meansWaiting
)

// standbySetting is in the text whatever the server's language.
const standbySetting = "synchronized_standby_slots"

// meaningOf reads a notice. Its text may be in any language, so the names in it count, and where in
// the server it comes from. The only publication that the session asks for is ours.
func meaningOf(m *pgproto3.NoticeResponse) meaning {
	switch {
	case m.Routine == "LoadPublications":
		return meansSkipped
	case strings.Contains(m.Message, standbySetting):
		return meansWaiting
	}
	return meansNothing
}

// notice acts on what the server says beside the changes.
func (s *session) notice(ctx context.Context, m *pgproto3.NoticeResponse) error {
	switch meaningOf(m) {
	case meansSkipped:
		return s.publicationGone(m.Message)
	case meansWaiting:
		if s.g.counters.waits(m.Message) {
			s.g.cfg.Log.ErrorContext(ctx, "Postgres sends no changes while a standby has not received them",
				slog.String("notice", m.Message), slog.String("detail", m.Detail), slog.String("hint", m.Hint))
		}
	case meansNothing:
		s.g.cfg.Log.InfoContext(ctx, "notice of the walsender", slog.String("severity", m.SeverityUnlocalized), slog.String("notice", m.Message), slog.String("detail", m.Detail))
	}
	return nil
}

// publicationGone ends the session because changes are missing that were written while the
// publication did not exist. The next one begins with another slot, and tells the gap.
func (s *session) publicationGone(message string) error {
	h := hole{reason: fmt.Sprintf("publication %s was dropped for a while: %s", s.g.cfg.Publication, message), after: s.server.slot.ConfirmedFlush}
	if s.confirm != nil {
		h.after = max(h.after, change.LSN(s.confirm.received.Load()))
	}
	s.g.hole = h
	return fmt.Errorf("read from the replication slot: %s", h.reason)
}

// hole says that a slot has to be made again: changes behind a place are missing in what it gives. The zero value is none.
type hole struct {
	reason string
	after  change.LSN // up to where the slot gave everything
}

// in reports whether a slot has it. One that stands behind it has been made since, by another process that met
// the hole.
func (h hole) in(slot slots.Info) bool { return h.reason != "" && slot.ConfirmedFlush <= h.after }
