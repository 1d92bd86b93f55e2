package flow

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
)

// appTable is a table of an application, with the statements by which it is written all the time.
type appTable struct {
	name    string
	from    int // the first major version that knows it
	setup   string
	writes  []string
	shape   client.Definition
	refused string // what the refusal of the shape says; "" if it is made
}

// writesOf are statements on a table with columns id and v.
func writesOf(table string) []string {
	return []string{
		"INSERT INTO " + table + " (id, v) VALUES (1, 1), (2, 2), (3, 3)", "UPDATE " + table + " SET v = v + 1", "UPDATE " + table + " SET v = 0 WHERE id = 2",
		"DELETE FROM " + table + " WHERE id = 1", "BEGIN; UPDATE " + table + " SET v = 5; DELETE FROM " + table + " WHERE v = 5; COMMIT",
	}
}

func table(name string) client.Definition { return client.Definition{Table: name} }

var appTables = []appTable{
	{"with a key", 14, `CREATE TABLE a1 (id int PRIMARY KEY, v int)`, writesOf("a1"), table("a1"), ""},
	{"without a key", 14, `CREATE TABLE a2 (id int, v int)`, writesOf("a2"), table("a2"), ""},
	{"identity nothing", 14, `CREATE TABLE a3 (id int, v int); ALTER TABLE a3 REPLICA IDENTITY NOTHING`, writesOf("a3"), table("a3"), ""},
	{"identity of an index", 14, `CREATE TABLE a4 (id int NOT NULL, v int); CREATE UNIQUE INDEX a4x ON a4 (id); ALTER TABLE a4 REPLICA IDENTITY USING INDEX a4x`, writesOf("a4"), table("a4"), ""},
	{"full before", 14, `CREATE TABLE a5 (id int PRIMARY KEY, v int); ALTER TABLE a5 REPLICA IDENTITY FULL`, writesOf("a5"), table("a5"), ""},
	{"partitions", 14, `CREATE TABLE a6 (id int PRIMARY KEY, v int) PARTITION BY RANGE (id); CREATE TABLE a6a PARTITION OF a6 FOR VALUES FROM (0) TO (2);
		CREATE TABLE a6b PARTITION OF a6 DEFAULT PARTITION BY RANGE (id); CREATE TABLE a6c PARTITION OF a6b DEFAULT`, writesOf("a6"), table("a6"), ""},
	{"partitions without a key", 14, `CREATE TABLE a7 (id int, v int) PARTITION BY RANGE (v); CREATE TABLE a7a PARTITION OF a7 FOR VALUES FROM (0) TO (2);
		CREATE TABLE a7b PARTITION OF a7 DEFAULT; ALTER TABLE a7b REPLICA IDENTITY NOTHING`, writesOf("a7"), table("a7"), ""},
	{"partitions written by themselves", 14, `CREATE TABLE a8 (id int PRIMARY KEY, v int) PARTITION BY RANGE (id); CREATE TABLE a8a PARTITION OF a8 DEFAULT`, writesOf("a8a"), table("a8"), ""},
	{"a stored generated column", 14, `CREATE TABLE a9 (id int PRIMARY KEY, v int, g int GENERATED ALWAYS AS (v * 2) STORED)`, writesOf("a9"), table("a9"), ""},
	{"a stored generated column of partitions", 14, `CREATE TABLE a10 (id int PRIMARY KEY, v int, g int GENERATED ALWAYS AS (v * 2) STORED) PARTITION BY RANGE (id);
		CREATE TABLE a10a PARTITION OF a10 DEFAULT`, writesOf("a10"), table("a10"), ""},
	{
		"a stored generated column in the clause", 18, `CREATE TABLE a11 (id int PRIMARY KEY, v int, g int GENERATED ALWAYS AS (v * 2) STORED)`, writesOf("a11"),
		client.Definition{Table: "a11", Columns: []string{"id", "g"}, Where: "g > 2"},
		"",
	},
	{
		"a stored generated column that a subquery selects", 18, `CREATE TABLE a12i (id int PRIMARY KEY, v int, g int GENERATED ALWAYS AS (v * 2) STORED);
		CREATE TABLE a12 (id int PRIMARY KEY, v int)`, append(writesOf("a12i"), writesOf("a12")...),
		client.Definition{Table: "a12", Where: "v IN (SELECT g FROM a12i WHERE g > 1)"},
		"",
	},
	{
		"a subquery", 14, `CREATE TABLE a13i (id int PRIMARY KEY, v int); CREATE TABLE a13 (id int PRIMARY KEY, v int)`, append(writesOf("a13i"), writesOf("a13")...),
		client.Definition{Table: "a13", Where: "v IN (SELECT id FROM a13i WHERE v > 1)"},
		"",
	},
	{"in another publication", 14, `CREATE TABLE a14 (id int PRIMARY KEY, v int); CREATE PUBLICATION o14 FOR TABLE a14`, writesOf("a14"), table("a14"), ""},
	{"another publication filters rows", 15, `CREATE TABLE a15 (id int PRIMARY KEY, v int); CREATE PUBLICATION o15 FOR TABLE a15 WHERE (id > 1)`, writesOf("a15"), table("a15"), ""},
	{"a column list of inserts", 15, `CREATE TABLE a16 (id int PRIMARY KEY, v int); CREATE PUBLICATION o16 FOR TABLE a16 (id) WITH (publish = 'insert')`, writesOf("a16"), table("a16"), ""},
	{"a column list", 15, `CREATE TABLE a17 (id int PRIMARY KEY, v int); CREATE PUBLICATION o17 FOR TABLE a17 (id)`, writesOf("a17"), table("a17"), "publication o17 has a column list"},
	{"a column list of a partition", 15, `CREATE TABLE a18 (id int PRIMARY KEY, v int) PARTITION BY RANGE (id); CREATE TABLE a18a PARTITION OF a18 DEFAULT;
		CREATE PUBLICATION o18 FOR TABLE a18a (id)`, writesOf("a18"), table("a18"), "publication o18 has a column list"},
	{
		"a column list of the inner table", 15, `CREATE TABLE a19i (id int PRIMARY KEY, v int); CREATE TABLE a19 (id int PRIMARY KEY, v int); CREATE PUBLICATION o19 FOR TABLE a19i (id)`,
		append(writesOf("a19i"), writesOf("a19")...),
		client.Definition{Table: "a19", Where: "v IN (SELECT id FROM a19i)"},
		"publication o19 has a column list",
	},
	{
		"a publication that leaves a generated column out", 18, `CREATE TABLE a20 (id int PRIMARY KEY, v int, g int GENERATED ALWAYS AS (v * 2) STORED); CREATE PUBLICATION o20 FOR TABLE a20`,
		writesOf("a20"), table("a20"), "leaves out the generated column g",
	},
	{"a virtual generated column", 18, `CREATE TABLE a21 (id int PRIMARY KEY, v int, g int GENERATED ALWAYS AS (v * 2) VIRTUAL)`, writesOf("a21"), table("a21"), "virtual generated column g"},
	{"a virtual generated column of a partition's root", 18, `CREATE TABLE a22 (id int PRIMARY KEY, v int, g int GENERATED ALWAYS AS (v * 2) VIRTUAL) PARTITION BY RANGE (id);
		CREATE TABLE a22a PARTITION OF a22 DEFAULT`, writesOf("a22"), table("a22"), "virtual generated column g"},
	{"large values and an identity column", 14, `CREATE TABLE a23 (id int PRIMARY KEY, v int, n int GENERATED ALWAYS AS IDENTITY, big text DEFAULT repeat('toast', 3000));
		ALTER TABLE a23 ALTER big SET STORAGE EXTERNAL`, writesOf("a23"), table("a23"), ""},
	{"a trigger and a foreign key", 14, `CREATE TABLE a24r (id int PRIMARY KEY); INSERT INTO a24r VALUES (1), (2), (3);
		CREATE TABLE a24 (id int PRIMARY KEY REFERENCES a24r ON DELETE CASCADE, v int);
		CREATE FUNCTION a24f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.v := new.v + 1; RETURN new; END';
		CREATE TRIGGER a24t BEFORE UPDATE ON a24 FOR EACH ROW EXECUTE FUNCTION a24f()`, writesOf("a24"), table("a24"), ""},
	{"hostile names", 14, `CREATE TABLE "A 25.""'" (id int PRIMARY KEY, v int)`, writesOf(`"A 25.""'"`), table(`"A 25.""'"`), ""},
}

// TestNoStatementOfTheApplicationFails writes to tables of every kind all the time: before there is a
// shape on them, while they are prepared, while the shape lives, and while they are given back.
func TestNoStatementOfTheApplicationFails(t *testing.T) {
	s := stack.New(t, "")
	s.Consumer.TableGrace = 500 * time.Millisecond
	major := pg.Major(s.DB)
	var tables []appTable
	for _, a := range appTables {
		if a.from <= major {
			tables = append(tables, a)
			s.Exec(a.setup)
		}
	}
	before := identitiesOf(t, s.DB)
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stop := make(chan struct{})
	rounds := make(chan int)
	stopped := make(chan error, 1)
	app := s.Connect()
	go func() {
		defer close(rounds)
		stopped <- func() error {
			for n := 1; ; n++ {
				for _, a := range tables {
					for _, sql := range a.writes {
						if _, err := app.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
							return fmt.Errorf("%s: %s: %w", a.name, sql, err)
						}
					}
					if _, err := app.PgConn().Exec(ctx, "DELETE FROM "+strings.Fields(a.writes[0])[2]).ReadAll(); a.name != "hostile names" && err != nil {
						return fmt.Errorf("%s: %w", a.name, err)
					}
				}
				select {
				case rounds <- n:
				case <-stop:
					return nil
				}
			}
		}()
	}()
	round := func() { // one that has begun after the call
		t.Helper()
		for range 2 {
			if _, ok := <-rounds; !ok {
				t.Fatal(<-stopped)
			}
		}
	}
	round()
	var shapes []*client.Shape
	for _, a := range tables {
		sh, err := s.Client.Create(t.Context(), a.shape)
		switch {
		case a.refused == "" && err != nil:
			t.Errorf("%s: %v", a.name, err)
		case a.refused != "" && (err == nil || !strings.Contains(err.Error(), a.refused)):
			t.Errorf("%s: %v, want a refusal with %q", a.name, err, a.refused)
		case err == nil:
			shapes = append(shapes, sh)
		}
		round()
	}
	for _, sh := range shapes {
		s.Await(sh, "live", func(i control.Shape) bool { return i.State == control.StateLive })
	}
	round()
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	s.Verify(shapes...)

	stop, rounds = make(chan struct{}), make(chan int)
	go func() {
		defer close(rounds)
		stopped <- func() error {
			for n := 1; ; n++ {
				for _, a := range tables {
					for _, sql := range a.writes[1:] {
						if _, err := app.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
							return fmt.Errorf("%s: %s: %w", a.name, sql, err)
						}
					}
				}
				select {
				case rounds <- n:
				case <-stop:
					return nil
				}
			}
		}()
	}()
	for _, sh := range shapes {
		if err := s.Client.Delete(t.Context(), sh.Handle()); err != nil {
			t.Error(err)
		}
	}
	var now string
	s.Until("every table is as it was", func() (bool, error) {
		if _, ok := <-rounds; !ok {
			t.Fatal(<-stopped)
		}
		now = identitiesOf(t, s.DB)
		return now == before, nil
	}, func() string { return fmt.Sprintf("%s\nwant %s", now, before) })
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
}

// identitiesOf prints the replica identity and the publications of each table.
func identitiesOf(tb testing.TB, conn *pgx.Conn) string {
	tb.Helper()
	var s string
	err := conn.QueryRow(tb.Context(), `
		SELECT coalesce(string_agg(c.relname || ' ' || c.relreplident::text || coalesce((SELECT ' in ' || string_agg(p.pubname, '+' ORDER BY p.pubname)
			FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = c.oid), ''), ', ' ORDER BY c.relname), '')
		FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')`).Scan(&s)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// TestHarmThatComesLaterIsEnded changes the catalog under live shapes in ways that make the
// application's updates fail. They pass again within a moment, and the shape ends with the reason.
func TestHarmThatComesLaterIsEnded(t *testing.T) {
	s := stack.New(t, "")
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	major := pg.Major(s.DB)
	for _, c := range []struct {
		name  string
		from  int
		setup string
		shape client.Definition
		then  string
		into  string
		says  string // why the shape ends
		again string // what the refusal of the next one says; "" if it is made
	}{
		{
			"a column list", 15, `CREATE TABLE b1 (id int PRIMARY KEY, v int)`, table("b1"), `CREATE PUBLICATION q1 FOR TABLE b1 (id)`, "b1",
			"publication q1 has a column list", "publication q1 has a column list",
		},
		{
			"a column list of a partition", 15, `CREATE TABLE b2 (id int PRIMARY KEY, v int) PARTITION BY RANGE (id); CREATE TABLE b2a PARTITION OF b2 DEFAULT`, table("b2"),
			`CREATE PUBLICATION q2 FOR TABLE b2a (id)`, "b2", "publication q2 has a column list", "publication q2 has a column list",
		},
		{
			"a column list of an inner table", 15, `CREATE TABLE b3i (id int PRIMARY KEY, v int); CREATE TABLE b3 (id int PRIMARY KEY, v int)`,
			client.Definition{Table: "b3", Where: "v IN (SELECT id FROM b3i)"},
			`CREATE PUBLICATION q3 FOR TABLE b3i (id)`, "b3i", "", "publication q3 has a column list",
		},
		{"an identity that a person took away", 14, `CREATE TABLE b4 (id int, v int)`, table("b4"), `ALTER TABLE b4 REPLICA IDENTITY NOTHING`, "b4", "", ""},
		{
			"a new partition without a key", 14, `CREATE TABLE b5 (id int, v int) PARTITION BY RANGE (id); CREATE TABLE b5a PARTITION OF b5 DEFAULT`, table("b5"),
			`CREATE TABLE b5b PARTITION OF b5 FOR VALUES FROM (10) TO (20); INSERT INTO b5 VALUES (11, 1)`, "b5", "partition", "",
		},
		{
			"a virtual generated column", 18, `CREATE TABLE b6 (id int PRIMARY KEY, v int)`, table("b6"), `ALTER TABLE b6 ADD COLUMN g int GENERATED ALWAYS AS (v) VIRTUAL`,
			"b6", "virtual", "virtual",
		},
		{
			"a stored generated column that another publication leaves out", 18, `CREATE TABLE b7 (id int PRIMARY KEY, v int); CREATE PUBLICATION q7 FOR TABLE b7`, table("b7"),
			`ALTER TABLE b7 ADD COLUMN g int GENERATED ALWAYS AS (v) STORED`, "b7", "", "leaves out the generated column g",
		},
		{"a stored generated column", 18, `CREATE TABLE b8 (id int PRIMARY KEY, v int)`, table("b8"), `ALTER TABLE b8 ADD COLUMN g int GENERATED ALWAYS AS (v) STORED`, "b8", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.from > major {
				t.Skipf("not with Postgres %d", major)
			}
			s.Exec(c.setup)
			s.Exec("INSERT INTO " + c.into + " VALUES (1, 1)")
			write := "UPDATE " + c.into + " SET v = v + 1"
			sh := s.Create(c.shape)
			s.Exec(c.then)
			s.Until("the application's update passes", func() (bool, error) {
				_, err := s.DB.Exec(t.Context(), write)
				return err == nil, err
			}, func() string { return identitiesOf(t, s.DB) })
			ended := s.Await(sh, "ended", func(i control.Shape) bool { return i.State == control.StateEnded })
			if !strings.Contains(ended.Reason, c.says) {
				t.Errorf("it ended because %q, want %q", ended.Reason, c.says)
			}
			var err error
			s.Until("the next shape is made or refused", func() (bool, error) {
				sh, err = s.Client.Create(t.Context(), c.shape)
				var re *client.RequestError
				return err == nil || errors.As(err, &re) && re.Code != control.CodeConflict, err
			}, func() string { return identitiesOf(t, s.DB) })
			switch {
			case c.again != "" && (err == nil || !strings.Contains(err.Error(), c.again)):
				t.Errorf("the next shape: %v, want a refusal with %q", err, c.again)
			case c.again == "" && err != nil:
				t.Errorf("the next shape: %v", err)
			case c.again == "":
				s.Await(sh, "live", func(i control.Shape) bool { return i.State == control.StateLive })
				s.Exec(write)
				s.Verify(sh)
			}
			s.Exec(write)
		})
	}
}

// TestHarmThatIsNotOursIsTold makes a table that its owner prepared fail: nobody knows what it was
// before, so only its owner can end that.
func TestHarmThatIsNotOursIsTold(t *testing.T) {
	s := stack.New(t, "CREATE TABLE c (id int PRIMARY KEY, v int); ALTER TABLE c REPLICA IDENTITY FULL")
	if pg.Major(s.DB) < 15 {
		t.Skip("column lists came with Postgres 15")
	}
	s.StartIngest()
	s.Exec("ALTER PUBLICATION " + pg.Ident(s.Source.Publication()) + " ADD TABLE c")
	consumer := s.StartConsumerService()
	sh := s.Create(table("c"))
	s.Exec("CREATE PUBLICATION q FOR TABLE c (id)")
	told := func(want bool) {
		t.Helper()
		var status control.Status
		s.Until(fmt.Sprintf("harm is told: %t", want), func() (bool, error) {
			var err error
			status, err = s.Client.Status(t.Context())
			return err == nil && (len(status.Problems) == 1) == want && (len(consumer.Status().Harm) == 1) == want, err
		}, func() string { return fmt.Sprintf("%q, %q", status.Problems, consumer.Status().Harm) })
		if want && !strings.Contains(status.Problems[0], "publication q has a column list") {
			t.Errorf("told: %q", status.Problems)
		}
	}
	told(true)
	s.Exec("DROP PUBLICATION q")
	told(false)
	s.Exec("INSERT INTO c VALUES (1, 1); UPDATE c SET v = 2")
	s.Verify(sh)
}

// TestATableIsWantedAgainWhileItIsGivenBack makes and deletes shapes of a table that is given back
// as soon as no shape is on it. A shape equals its query or has ended, and the application never fails.
func TestATableIsWantedAgainWhileItIsGivenBack(t *testing.T) {
	s := stack.New(t, "CREATE TABLE d (id serial PRIMARY KEY, v int); CREATE TABLE di (id int PRIMARY KEY, v int); INSERT INTO di VALUES (1, 1)")
	const grace = 300 * time.Millisecond // a request has to be answered within it, also on a slow machine
	s.Consumer.TableGrace = grace
	s.Consumer.SyncInterval = 20 * time.Millisecond // of the sweep, too
	s.Consumer.InnerGrace = time.Millisecond
	s.StartIngest()
	s.StartConsumer()
	s.StartConsumer() // answers half of the requests
	s.StartMaterializer()
	exact := 0
	for i := range 12 {
		def := client.Definition{Table: "d", Where: fmt.Sprintf("v >= %d", i%3)}
		if i%2 == 1 {
			def.Where = "v IN (SELECT v FROM di)"
		}
		time.Sleep(rand.N(grace * 3 / 2)) // at some moment of its being given back
		var sh *client.Shape
		s.Until("the shape is made", func() (_ bool, err error) {
			sh, err = s.Client.Create(t.Context(), def)
			return err == nil, err
		}, func() string { return identitiesOf(t, s.DB) })
		s.Exec("INSERT INTO d (v) VALUES ($1)", i%3)
		s.Exec("UPDATE d SET v = v + 1 WHERE id % 3 = 0")
		lsn, err := pg.EmitBarrier(t.Context(), s.DB, topology.BarrierPrefix, "settle")
		if err != nil {
			t.Fatal(err)
		}
		info := s.Await(sh, "up to date or ended", func(i control.Shape) bool {
			return i.State == control.StateEnded || i.State == control.StateLive && i.Applied >= lsn
		})
		if info.State == control.StateLive {
			exact++
			s.Verify(sh) // a table that was given back under it would have ended it before
		}
		if err := s.Client.Delete(t.Context(), sh.Handle()); err != nil {
			t.Error(err)
		}
	}
	if exact == 0 {
		t.Error("no shape has lived")
	}
	s.Until("the tables are as they were", func() (bool, error) { return identitiesOf(t, s.DB) == "d d, di d", nil }, func() string { return identitiesOf(t, s.DB) })
}
