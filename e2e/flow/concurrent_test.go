package flow

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
)

// TestOuterShapesBesideConcurrentWriters lets several connections write to both
// tables at once, small transactions and one that is larger than what the
// consumer gathers, so that units are opened while others commit.
func TestOuterShapesBesideConcurrentWriters(t *testing.T) {
	s := stack.Start(t, projectSchema)
	shapes := []*client.Shape{
		s.Create(client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active)"}),
		s.Create(client.Definition{Table: "tasks", Where: "NOT done AND project_id NOT IN (SELECT id FROM projects WHERE owner = 1)"}),
	}
	for round := range 3 {
		var writers sync.WaitGroup
		write := func(n int, txn func(r *rand.Rand, i int) []string) {
			conn := s.Connect()
			r := rand.New(rand.NewPCG(uint64(round), uint64(n)))
			writers.Go(func() {
				for i := range n {
					err := pgx.BeginFunc(context.Background(), conn, func(tx pgx.Tx) error {
						for _, sql := range txn(r, i) {
							if _, err := tx.Exec(context.Background(), sql); err != nil {
								return fmt.Errorf("%s: %w", sql, err)
							}
						}
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		write(60, func(r *rand.Rand, _ int) []string {
			return []string{fmt.Sprintf("UPDATE projects SET active = NOT active WHERE id = %d", 1+r.IntN(8))}
		})
		write(150, func(r *rand.Rand, i int) []string {
			return []string{
				fmt.Sprintf("UPDATE tasks SET done = NOT done, project_id = %d WHERE id = %d", 1+r.IntN(10), 1+r.IntN(100)),
				fmt.Sprintf("INSERT INTO tasks VALUES (%d, %d, false, 'new')", 1000+1000*round+i, 1+r.IntN(10)),
			}
		})
		write(2, func(r *rand.Rand, i int) []string {
			return []string{
				fmt.Sprintf("INSERT INTO tasks SELECT g, 1 + g %% 10, false, repeat('large', 20) FROM generate_series(%d, %d) g", 100_000*(2*round+i+1), 100_000*(2*round+i+1)+9_999),
				fmt.Sprintf("UPDATE projects SET active = NOT active, owner = 3 - owner WHERE id = %d", 9+r.IntN(2)),
			}
		})
		writers.Wait()
		s.Verify(shapes...)
	}
}
