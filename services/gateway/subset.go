package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/snapshots"
	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/services/gateway/protocol"
	"github.com/shapebus/shapebus/services/gateway/shapes"
)

// Bounds of a subset's query.
const (
	subsetConnections = 8
	subsetWithin      = 30 * time.Second
	subsetBytes       = 64 << 20
	subsetAttempts    = 3
	feederWithin      = 8 * time.Second // of them, to find out which database it has to be
)

// subsets reads rows from Postgres.
type subsets struct {
	config *pgxpool.Config // nil without a database
	pool   *pgxpool.Pool   // from start on
	source *client.Client
	feeds  atomic.Pointer[pg.Database] // as the control plane said last; nil before it has
}

func newSubsets(gateway *Config) (*subsets, error) {
	if gateway.DatabaseURL == "" {
		return &subsets{}, nil
	}
	cfg, err := pg.ParseConfig(gateway.DatabaseURL, "gateway")
	if err != nil {
		return nil, err
	}
	s := &subsets{}
	if s.source, err = client.New(gateway.NATS, string(gateway.Source)); err != nil {
		return nil, err
	}
	pg.Only(cfg, s.feeder)
	pooled, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, fmt.Errorf("connections to Postgres: %w", err)
	}
	pooled.ConnConfig, pooled.MaxConns = cfg, subsetConnections
	s.config = pooled
	return s, nil
}

// feeder asks which database feeds the source, for each connection: rows of another one are none of the shape's. It is the one
// that it was while nobody answers.
func (s *subsets) feeder(ctx context.Context) (pg.Database, error) {
	ctx, cancel := context.WithTimeout(ctx, feederWithin)
	defer cancel()
	status, err := s.source.Status(ctx)
	if err == nil {
		s.feeds.Store(&pg.Database{SystemID: status.SystemID, Name: status.Database})
	}
	if feeds := s.feeds.Load(); feeds != nil {
		return *feeds, nil
	}
	return pg.Database{}, fmt.Errorf("find out which database feeds the source, before rows are read: %w; the gateway's NATS user must be allowed to ask for source.status", err)
}

// start makes ready to read. It connects when it is first used.
func (s *subsets) start(ctx context.Context) (err error) {
	if s.config == nil {
		return nil
	}
	if s.pool, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), s.config); err != nil {
		return fmt.Errorf("connections to Postgres: %w", err)
	}
	return nil
}

// ask asks over another connection than those that are kept: they may all be busy, and would not tell of a password that has changed.
func (s *subsets) ask(ctx context.Context) error {
	conn, err := pg.Connect(ctx, s.config.ConnConfig)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return conn.Ping(ctx)
}

func (s *subsets) close() {
	if s.pool != nil {
		s.pool.Close()
	}
}

// errSubsetLarge says that a subset has more rows than one answer holds.
var errSubsetLarge = errors.New("the subset is larger than an answer may be")

// subset answers with rows of the shape as they are in Postgres, and what the transaction saw that read them. The client
// goes on with the log from where it was, so that must be a place before the snapshot.
func (a *answer) subset(ctx context.Context) error {
	a.g.count.subsets.Add(1)
	if a.g.subset.pool == nil {
		return protocol.Refuse(http.StatusNotImplemented, "This gateway has no database for subset snapshots")
	}
	where, order, err := a.subsetQuery()
	if err != nil {
		return err
	}
	next := a.req.Offset
	switch {
	case next.Beginning:
		next = protocol.BehindChunk(0)
	case next.Now:
		if next, err = a.shape.Tail(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, subsetWithin)
	defer cancel()
	var body []byte
	var leave func()
	for attempt := 1; ; attempt++ {
		body, leave, err = a.g.subset.read(ctx, a.shape, where, order)
		if errors.Is(err, pg.ErrSnapshotStale) && attempt < subsetAttempts {
			continue
		}
		break
	}
	switch {
	case errors.Is(err, errSubsetLarge):
		return protocol.InvalidSubset("limit", "the rows are more than one answer holds; ask for fewer")
	case errors.Is(err, shapes.ErrNoRoom):
		return err
	case err != nil && a.r.Context().Err() == nil:
		a.g.cfg.Log.WarnContext(ctx, "cannot read a subset", slog.Any("error", err))
		return protocol.Unavailable("Cannot read the rows just now, please retry", 10)
	case err != nil:
		return err
	}
	defer leave()
	h := a.w.Header()
	a.headers(next)
	h.Set("Electric-Schema", a.shape.Schema())
	h.Set("Electric-Snapshot", "true")
	h.Set("Cache-Control", a.g.whose()+", no-cache")
	a.write([][]byte{body})
	return nil
}

// subsetQuery checks the subset against the table, and returns its condition, which holds the shape's, and what follows it. Nothing of
// what the client wrote goes into SQL: both are printed from what was understood.
func (a *answer) subsetQuery() (where, order string, err error) {
	table, sub := a.shape.Table(), a.req.Subset
	visible := a.req.Queryable
	columns := table.Predicate()
	if visible != nil {
		columns.Columns = slices.DeleteFunc(columns.Columns, func(c predicate.Column) bool { return !slices.Contains(visible, c.Name) })
	}
	p, err := predicate.Compile(sub.Where, sub.Params, columns, nil)
	if err != nil {
		return "", "", protocol.InvalidSubset("where", clauseText(err))
	}
	where = "(" + table.SQL() + ") AND (" + p.SQL() + ")"
	if sub.OrderBy != "" {
		names := make([]string, len(columns.Columns))
		for i, c := range columns.Columns {
			names[i] = c.Name
		}
		sorted, err := protocol.Order(sub.OrderBy, names)
		if err != nil {
			return "", "", protocol.InvalidSubset("order_by", err.Error())
		}
		order = "ORDER BY " + sorted
	}
	if sub.Limit > 0 {
		order += fmt.Sprintf(" LIMIT %d", sub.Limit)
	}
	if sub.Offset > 0 {
		order += fmt.Sprintf(" OFFSET %d", sub.Offset)
	}
	return where, order, nil
}

// read reads the rows in one snapshot, as the body of an answer. It keeps its connection until there is room for the answer, so
// those who wait for room hold few. leave gives the room back.
func (s *subsets) read(ctx context.Context, shape *shapes.Shape, where, order string) (body []byte, leave func(), err error) {
	conn, err := pg.Acquire(ctx, s.pool)
	if err != nil {
		return nil, nil, err
	}
	defer conn.Release()
	if body, err = readSubset(ctx, conn.Conn(), shape, where, order); err != nil {
		return nil, nil, err
	}
	if leave, err = shape.Room(ctx, len(body)); err != nil {
		return nil, nil, err
	}
	return body, leave, nil
}

func readSubset(ctx context.Context, conn *pgx.Conn, shape *shapes.Shape, where, order string) ([]byte, error) {
	snap, err := snapshots.Open(ctx, conn)
	if err != nil {
		return nil, err
	}
	mark := rand.Int32()
	body := protocol.SubsetHead(nil, snap.Snapshot, mark)
	first := true
	table := shape.Table()
	_, err = snap.CopyOrdered(ctx, table.Info(), table.Columns(), where, order, func(row change.Row) error {
		if !first {
			body = append(body, ',')
		}
		first = false
		body = shape.Encoder().SubsetRow(body, shapes.Row(row), mark)
		if len(body) > subsetBytes {
			return errSubsetLarge
		}
		return nil
	})
	if closed := snap.Close(ctx); err == nil {
		err = closed
	}
	if err != nil {
		return nil, err
	}
	return append(body, "]}"...), nil
}
