package crash

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/topology"
)

// A table is prepared for shapes and given back in several steps. Whoever dies between two of them
// leaves a table that is prepared or as it was, and a record by which the next one knows what it was.
func TestConsumerDiesWhileItPreparesATableOrGivesItBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.exec("CREATE TABLE lent (id int PRIMARY KEY, v int); INSERT INTO lent VALUES (1, 1)")
	def := client.Definition{Table: "lent"}
	state := func() (identity string, published, noted bool) {
		t.Helper()
		var oid uint32
		w.with(func(ctx context.Context, conn *pgx.Conn) error {
			return conn.QueryRow(ctx, `SELECT oid, relreplident::text, EXISTS (SELECT FROM pg_publication_rel r WHERE r.prrelid = c.oid)
				FROM pg_class c WHERE oid = 'lent'::regclass`).Scan(&oid, &identity, &published)
		})
		kv, err := w.nats.js.KeyValue(t.Context(), w.source.RelationBucket())
		if err != nil {
			t.Fatal(err)
		}
		_, err = kv.Get(t.Context(), topology.PreparedKey(oid))
		return identity, published, err == nil
	}
	is := func(when, wantIdentity string, wantPublished, wantNoted bool) {
		t.Helper()
		if identity, published, noted := state(); identity != wantIdentity || published != wantPublished || noted != wantNoted {
			t.Fatalf("%s: identity %s, published %t, noted %t", when, identity, published, noted)
		}
	}
	// The grace is longer than a creation takes, or the table is given back before its shape is there.
	flags := []string{"--table-grace", "8s", "--sync-interval", "500ms"}
	w.startIngest(nil)

	w.startConsumer(failpoint.At(failpoint.TableNoted, 1), flags...)
	until(t, "the consumer is gone", func() (bool, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // nobody will answer
		defer cancel()
		_, err := w.client.Create(ctx, def)
		return w.consumer.Gone(), err
	})
	w.consumer.DiesAt(failpoint.TableNoted)
	is("before it is changed", "d", false, true)

	w.startConsumer(failpoint.At(failpoint.TableGivenBack, 1), flags...)
	w.ask(def)
	w.awaitLive()
	is("with a shape", "f", true, true)
	w.exec("UPDATE lent SET v = 2")
	if err := w.client.Delete(t.Context(), w.shapes[0].Handle()); err != nil {
		t.Fatal(err)
	}
	w.shapes, w.asked = nil, nil
	w.consumer.DiesAt(failpoint.TableGivenBack)
	is("before the record is removed", "d", false, true)

	w.startConsumer(nil, flags...)
	until(t, "the record is removed", func() (bool, error) {
		_, _, noted := state()
		return !noted, nil
	})
	is("in the end", "d", false, false)
	w.ask(def)
	w.awaitLive()
	is("with a shape again", "f", true, true)
}
