package flow

import (
	"fmt"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// TestAChainReadsTheChangeLogOnce has a consumer crash whose shapes of one chain have each written last at another place, far behind
// which the change log ends. They read it together, whatever their number, and go on together.
func TestAChainReadsTheChangeLogOnce(t *testing.T) {
	t.Parallel()
	const n, each, size = 24, 40, 4 << 10 // shapes, transactions behind the place of each, bytes of a row
	s := stack.New(t, nestedSchema+fmt.Sprintf("; ALTER TABLE comments ADD bucket int; UPDATE comments SET bucket = id %% %d, task_id = id %% 20", n))
	s.Consumer.Partitions, s.Consumer.Checkpoint = 1, time.Hour // no checkpoint tells where they stand
	s.Consumer.RecentBytes = 64 << 10                           // what they read comes from the stream
	s.StartIngest()
	first := s.StartMember()
	s.StartMaterializer()
	plain := s.Create(client.Definition{Table: "likes", Where: "id = 1"})
	var shapes []*client.Shape
	for i := range n {
		shapes = append(shapes, s.Create(client.Definition{Table: "comments", Where: fmt.Sprintf("bucket = %d AND %s", i, ofTasks)}))
	}
	for _, sh := range shapes {
		s.Await(sh, "live", func(i control.Shape) bool { return i.State == control.StateLive })
	}
	for i := range n {
		s.Exec("UPDATE comments SET text = 'x' WHERE bucket = $1", i)
		s.Exec(fmt.Sprintf("DO $$ BEGIN FOR i IN 1..%d LOOP UPDATE comments SET text = repeat('z', %d), bucket = -1 WHERE id = 500; COMMIT; END LOOP; END $$", each, size))
	}
	at := walEnd(t, s)
	s.Exec("UPDATE likes SET comment_id = -1 WHERE id = 1")
	s.Await(plain, "at the end", func(i control.Shape) bool { return i.Offset.LSN >= at })
	first.Crash()

	s.Consumer.Checkpoint = 100 * time.Millisecond
	second := s.StartMember()
	s.Verify(shapes...)
	const log = n * each * 2 * size // each row stands in it as it was and as it is
	read := second.Read()
	t.Logf("%d MiB of the change log, of which the consumer has read %.1f times as much", log>>20, float64(read)/log)
	if read > 6*log {
		t.Errorf("for %d shapes the consumer has read %d MiB, with %d MiB of the change log behind them", n, read>>20, log>>20)
	}
	for range 3 {
		s.Exec("UPDATE projects SET active = NOT active WHERE id <= 5")
		s.Verify(shapes...)
	}
	second.Crash() // right behind units
	s.StartMember()
	s.Exec("UPDATE projects SET active = NOT active WHERE id <= 5")
	s.Verify(shapes...)
}
