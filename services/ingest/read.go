package ingest

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/ingest/pgoutput"
)

// walDataHeader is what stands before a pgoutput message: the kind byte, two
// LSNs and a time.
const walDataHeader = 25

// read takes messages off the replication connection until it fails, which an
// expired deadline makes it.
func (s *session) read(ctx context.Context) error {
	var d pgoutput.Decoder
	frontend := s.conn.Frontend()
	asked := askCounter{}
	for {
		msg, err := frontend.Receive()
		if err != nil {
			return fmt.Errorf("read from the replication slot: %w", err)
		}
		switch m := msg.(type) {
		case *pgproto3.CopyData:
			if len(m.Data) == 0 {
				return pgoutput.ErrShort
			}
			switch m.Data[0] {
			case pglogrepl.XLogDataByteID:
				if len(m.Data) < walDataHeader {
					return pgoutput.ErrShort
				}
				if err := s.take(&d, m.Data[walDataHeader:]); err != nil { //nolint:contextcheck // a trace begins with its transaction
					return err
				}
			case pglogrepl.PrimaryKeepaliveMessageByteID:
				if err := s.keepalive(m.Data[1:], &asked); err != nil {
					return err
				}
			}
		case *pgproto3.NoticeResponse:
			if err := s.notice(ctx, m); err != nil {
				return err
			}
		case *pgproto3.ErrorResponse:
			return fmt.Errorf("read from the replication slot: %w", pgconn.ErrorResponseToPgError(m))
		case *pgproto3.CopyDone:
			return errStopping
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// take hands one pgoutput message to the batch.
func (s *session) take(d *pgoutput.Decoder, data []byte) error {
	k, err := d.Decode(data)
	if err != nil {
		return err
	}
	switch k {
	case pgoutput.KindInsert, pgoutput.KindUpdate, pgoutput.KindDelete:
		return s.batch.row(d.OID, &d.Op)
	case pgoutput.KindBegin:
		s.publish.trace = s.g.cfg.Tracer.Commit(d.XID, d.CommitLSN, time.UnixMicro(d.CommitTime))
		return s.batch.begin(d.XID, d.CommitLSN, d.CommitTime, s.publish.trace.Context())
	case pgoutput.KindCommit:
		s.confirm.advance(d.EndLSN)
		s.g.counters.txns.Add(1)
		err := s.batch.commit(d.EndLSN)
		s.publish.trace.Sent(s.batch.next / change.OpStep)
		return err
	case pgoutput.KindRelation:
		return s.batch.relation(d.Relation)
	case pgoutput.KindTruncate:
		return s.batch.truncate(d.Truncated)
	case pgoutput.KindMessage:
		if string(d.Prefix) == topology.BarrierPrefix {
			return s.batch.barrier(d.Transactional, d.MessageLSN, d.Payload)
		}
	case pgoutput.KindOrigin, pgoutput.KindType:
	}
	return nil
}

// advance notes up to where the WAL has come in.
func (c *confirmer) advance(lsn change.LSN) {
	if uint64(lsn) > c.received.Load() {
		c.s.g.counters.waits("")
		c.received.Store(uint64(lsn))
		c.s.g.counters.received.Store(uint64(lsn))
	}
}

// keepalive takes the server's own report. Everything below its WAL end has
// been sent, so if nothing waits, it may be confirmed like a commit: that is how
// an idle database lets go of WAL that other tables or databases wrote.
func (s *session) keepalive(data []byte, asked *askCounter) error {
	k, err := pglogrepl.ParsePrimaryKeepaliveMessage(data)
	if err != nil {
		return fmt.Errorf("%w: %w", pgoutput.ErrProtocol, err)
	}
	s.confirm.advance(change.LSN(k.ServerWALEnd))
	if err := s.batch.out.received(change.LSN(k.ServerWALEnd)); err != nil {
		return err
	}
	if k.ReplyRequested {
		if asked.insists(time.Now()) {
			return errStopping
		}
		s.confirm.answer()
	}
	return nil
}

// askCounter notices a server that shuts down. It waits until its clients have
// confirmed everything, and asks again after every answer. We may not confirm
// before the sync interval has passed, so we leave instead. In normal work it
// asks only clients that have been silent, which we never are.
type askCounter struct {
	first time.Time
	n     int
}

// insistsAfter is how many questions within a second are insisting.
const insistsAfter = 4

func (a *askCounter) insists(now time.Time) bool {
	if now.Sub(a.first) > time.Second {
		a.first, a.n = now, 0
	}
	a.n++
	return a.n >= insistsAfter
}
