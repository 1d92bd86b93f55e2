package consumer

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/follow"
)

// Postgres tells nobody of the TRUNCATE of a partition, only its file changes. The TRUNCATE of the whole
// table changes the files as well, but it is in the stream. So new files are judged when
// the main loop has read all that was committed before they were seen: those that no truncation in the stream
// explains end the shapes of the table.

// truncations are the last ones of each table that the main loop has read. Owned by the main loop.
type truncations map[uint32][]change.XID

// maxTruncations is how many are remembered of a table: those between two looks at the catalog.
const maxTruncations = 16

// read notes the truncations in a fragment, and reports whether there are any.
func (t truncations) read(table uint32, f *change.Fragment) bool {
	if !slices.ContainsFunc(f.Ops, func(op change.Op) bool { return op.Kind == change.Truncate }) {
		return false
	}
	t[table] = append(t[table], f.XID)
	t[table] = t[table][max(0, len(t[table])-maxTruncations):]
	return true
}

// explain says of transactions whether they truncated the table.
func (t truncations) explain(table uint32) func(xid string) bool {
	return func(xid string) bool {
		return slices.ContainsFunc(t[table], func(x change.XID) bool { return strconv.FormatUint(uint64(x), 10) == xid })
	}
}

// barrierPatience bounds the wait for a barrier, in case the change log has lost it.
const barrierPatience = time.Minute

// moved returns those tables of whose leaves some shape knows other files. Runs on the main loop.
func moved(asked map[uint32]*onTable, tables map[uint32]*pg.TableInfo, at change.LSN) []*pg.TableInfo {
	var all []*pg.TableInfo
	for oid, on := range asked {
		now := tables[oid]
		if now == nil || len(now.Partitions) == 0 {
			continue
		}
		if slices.ContainsFunc(on.begun, func(f *follow.Follower) bool { return f.HasOtherFiles(now, at) }) {
			all = append(all, now)
		}
	}
	return all
}

// judgeFiles ends the shapes of tables with files that nothing explains, once the main loop has
// read what was committed before the tables were looked at. It returns at once; one judgement is
// under way at a time. Runs on the main loop.
func (s *session) judgeFiles(tables []*pg.TableInfo, at change.LSN) {
	if s.judging || len(tables) == 0 {
		return
	}
	s.judging = true
	s.Tasks.Go(func() error {
		err := s.passed(s.Ctx)
		if err != nil && s.Ctx.Err() == nil {
			s.Log.WarnContext(s.Ctx, "cannot tell yet whether partitions were truncated; it is tried again", slog.Any("error", err))
		}
		return service.IgnoreOver(s.Ctx, s.OnMain(s.Ctx, func(ctx context.Context) error {
			s.judging = false
			if err != nil {
				return nil //nolint:nilerr // logged above
			}
			all := s.byTable(0)
			for _, now := range tables {
				if on := all[now.Relation.OID]; on != nil {
					if err := s.judgeTable(ctx, on, now, at); err != nil {
						return err
					}
				}
			}
			return nil
		}))
	})
}

// passed waits until the main loop has read everything that is committed now.
func (s *session) passed(ctx context.Context) error {
	id, read := "", make(chan struct{})
	err := s.OnMain(ctx, func(context.Context) error {
		s.lastBarrier++
		id = fmt.Sprintf("files/%d/%d", s.Began, s.lastBarrier)
		s.barriers[id] = read
		return nil
	})
	if err != nil {
		return err
	}
	defer func() {
		_ = s.OnMain(ctx, func(context.Context) error { delete(s.barriers, id); return nil }) // else the session is over
	}()
	if err := s.Barrier(ctx, id); err != nil {
		return err
	}
	limit := time.NewTimer(barrierPatience)
	defer limit.Stop()
	select {
	case <-read:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-limit.C:
		return fmt.Errorf("the change log has not come to the present within %s", barrierPatience)
	}
}

// barrierRead wakes who waits for a barrier. Runs on the main loop.
func (s *session) barrierRead(payload string) {
	if read := s.barriers[payload]; read != nil {
		close(read)
		delete(s.barriers, payload)
	}
}

// judgeTable ends the shapes of a table that had other files before, or takes the new ones for theirs
// if the stream explains them. Runs on the main loop.
func (s *session) judgeTable(ctx context.Context, on *onTable, now *pg.TableInfo, at change.LSN) error {
	structure := now.Structure()
	for _, f := range on.begun {
		if f.Structure != structure || s.Live[f.ID] != f && !s.inGroup(f) || !f.HasOtherFiles(now, at) {
			continue
		}
		if reason := f.Files.DiffFiles(now, s.truncations.explain(now.Relation.OID)); reason != "" {
			if err := s.EndRunning(ctx, f.ID, reason, true); err != nil {
				return err
			}
			continue
		}
		f.Files, f.FilesAt = now, at
		s.Tasks.Go(func() error { // a start that knows the old files only would end the shape
			return service.IgnoreEnd(s.Ctx, s.ChangeRecord(s.Ctx, f.ID, f.Handle, func(r *registry.Shape) { r.Table = now }))
		})
	}
	return nil
}
