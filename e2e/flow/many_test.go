package flow

import (
	"strconv"
	"sync"
	"testing"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
)

// Shapes that are asked for together are created together; each holds its own rows all the same, and what is written meanwhile.
func TestManyShapesCreatedTogetherUnderTraffic(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, `CREATE TABLE tasks (id int PRIMARY KEY, owner int, title text);
		INSERT INTO tasks SELECT i, i % 4, 'first' FROM generate_series(0, 199) i`)
	stop := writers(s, 1, "")
	const n = 60
	shapes := make([]*client.Shape, n)
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := w; i < n; i += 16 {
				shapes[i] = s.Create(client.Definition{Table: "tasks", Where: "id = $1 OR owner = $2", Params: []any{strconv.Itoa(i), strconv.Itoa(i % 8)}})
			}
		})
	}
	wg.Wait()
	stop()
	s.Settle(shapes...)
	s.Verify(shapes...)
}
