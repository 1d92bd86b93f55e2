package crash

import (
	"strings"
	"testing"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/client"
)

// A new schema of a table is announced before the ops that need it, in the
// middle of their transaction. That is not the transaction's end.
func TestConsumerDiesInATransactionThatChangesAnotherTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.exec("CREATE TABLE extra (id int PRIMARY KEY)")
	w.start()
	w.ask(client.Definition{Table: "extra"})
	w.awaitLive()
	w.exec("INSERT INTO extra VALUES (1)")
	w.settle()
	last := len(w.shapes) - 1
	if err := w.client.Delete(t.Context(), w.shapes[last].Handle()); err != nil {
		t.Fatal(err)
	}
	w.shapes, w.asked = w.shapes[:last], w.asked[:last]
	w.settle()

	w.consumer.Stop()
	before := w.audit(w.checkpoint().FloorSeq).fragments
	w.exec(strings.Replace(bigSQL(w.big), "BEGIN;", "BEGIN; ALTER TABLE extra ADD COLUMN note text; INSERT INTO extra VALUES (2, 'new');", 1))
	w.startConsumer(failpoint.At(failpoint.AfterFragment, before+80+w.rng.IntN(30)), "--checkpoint", "10ms")
	w.consumer.DiesAt(failpoint.AfterFragment)
	w.startConsumer(nil)
	w.verify()
}
