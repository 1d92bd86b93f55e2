package main

import (
	"bufio"
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/pg/preflight"
	"github.com/shapebus/shapebus/internal/term"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

func model(t *testing.T) *kong.Application {
	t.Helper()
	var c cli
	parser, err := newParser(&c, os.Stdout, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model
}

func TestEveryFlagSaysWhatItMeans(t *testing.T) {
	var visit func(n *kong.Node)
	visit = func(n *kong.Node) {
		if n.Help == "" {
			t.Errorf("%s has no help", n.FullPath())
		}
		for _, f := range n.Flags {
			if f.Name != "help" && !f.Required && !strings.Contains(f.Help, "default") && !strings.Contains(f.Help, "Default") {
				t.Errorf("%s --%s does not say its default: %q", n.FullPath(), f.Name, f.Help)
			}
		}
		for _, p := range n.Positional {
			if p.Help == "" {
				t.Errorf("%s: argument %s has no help", n.FullPath(), p.Name)
			}
		}
		for _, child := range n.Children {
			visit(child)
		}
	}
	visit(model(t).Node)
}

func TestEnvironment(t *testing.T) {
	app := model(t)
	t.Run("every variable is its flag's name, or its command's and its flag's", func(t *testing.T) {
		names := environmentNames(app)
		for _, want := range []string{"SHAPEBUS_DATABASE_URL", "SHAPEBUS_NATS_URL", "SHAPEBUS_NATS_PASSWORD", "SHAPEBUS_SOURCE", "SHAPEBUS_LISTEN", "SHAPEBUS_SYNC_INTERVAL", "SHAPEBUS_LOG_FORMAT"} {
			if !slices.Contains(names, want) {
				t.Errorf("no %s in %v", want, names)
			}
		}
		var visit func(n *kong.Node)
		visit = func(n *kong.Node) {
			for _, f := range n.Flags {
				for _, name := range f.Envs {
					want := envPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
					own := envPrefix + strings.ToUpper(n.Name) + strings.TrimPrefix(want, strings.TrimSuffix(envPrefix, "_"))
					if strings.HasPrefix(name, envPrefix) && name != want && name != own {
						t.Errorf("--%s is %s, want %s", f.Name, name, want)
					}
				}
			}
			for _, child := range n.Children {
				visit(child)
			}
		}
		visit(app.Node)
	})
	t.Run("a misspelt one is refused with the one that was meant", func(t *testing.T) {
		err := checkEnvironment(app, []string{"PATH=/bin", "SHAPEBUS_NATS_URL=x", "SHAPEBUS_SORCE=main", "SHAPEBUS_ZZZZZZ=1"})
		if err == nil || !strings.Contains(err.Error(), "SHAPEBUS_SORCE (did you mean SHAPEBUS_SOURCE?), SHAPEBUS_ZZZZZZ;") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("those of any command are fine", func(t *testing.T) {
		if err := checkEnvironment(app, []string{"SHAPEBUS_PARTITIONS=8", "SHAPEBUS_FRAGMENT_OPS=1", "SHAPEBUS_FAILPOINT=x"}); err != nil {
			t.Error(err)
		}
	})
}

func TestSecretsAreNotShown(t *testing.T) {
	for in, want := range map[string]string{
		"nats://app:hush@db:4222":                      "nats://db:4222",
		"nats://token@a:1,tls://u:p@b:2":               "nats://a:1,tls://b:2",
		"u:p@host:4222":                                "host:4222",
		"nats://h:1":                                   "nats://h:1",
		"nats://u:p@ss@h:1, nats://u:p%40ss/word@h2:2": "nats://h:1,nats://h2:2",
	} {
		if got := redactServers(in); got != want {
			t.Errorf("%s → %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]bool{
		"postgres://u@h/d": false, "postgres://u:p@h/d": true, "host=h password=x": true, "host=h user=u": false,
		"nats://h:1": false, "nats://token@h:1": true, "nats://u:p@h:1": true,
	} {
		if holdsPassword(in) != want {
			t.Errorf("%s: want %v", in, want)
		}
	}
}

func TestUnits(t *testing.T) {
	for in, want := range map[string]byteSize{"0": 0, "-1": -1, "1048576": 1 << 20, "256KiB": 256 << 10, "8 GiB": 8 << 30, "1.5GiB": 3 << 29, "3mb": 3_000_000} {
		var b byteSize
		if err := b.UnmarshalText([]byte(in)); err != nil || b != want {
			t.Errorf("%s → %d, %v", in, b, err)
		}
	}
	for _, in := range []string{"", "x", "-2", "KiB", "99999999999TiB"} {
		var b byteSize
		if err := b.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q → %d", in, b)
		}
	}
}

func TestSubjects(t *testing.T) {
	for _, c := range []struct {
		a, b            string
		covers, overlap bool
	}{
		{">", "sb.main.>", true, true},
		{"sb.>", "sb.main.>", true, true},
		{"sb.*.>", "sb.main.>", true, true},
		{"sb.main.>", "sb.>", false, true},
		{"sb.main.*", "sb.main.>", false, true},
		{"sb.main", "sb.main.>", false, false},
		{"sb.other.>", "sb.main.>", false, false},
		{"$JS.API.>", "$JS.API.>", true, true},
		{"$JS.API.STREAM.DELETE.*", "$JS.API.>", false, true},
		{"_INBOX.*", "_INBOX.>", false, true},
		{"a.b", "a.b", true, true},
		{"a.*", "a.b", true, true},
		{"a.b", "a.*", false, true},
	} {
		if got := covers(c.a, c.b); got != c.covers {
			t.Errorf("covers(%s, %s) = %v", c.a, c.b, got)
		}
		if got := overlap(c.a, c.b); got != c.overlap {
			t.Errorf("overlap(%s, %s) = %v", c.a, c.b, got)
		}
	}
	needed := []string{"sb.main.>", "_INBOX.>"}
	for _, c := range []struct {
		g  grants
		ok bool
	}{
		{grants{}, true},
		{grants{Allow: []string{"sb.>", "_INBOX.>"}}, true},
		{grants{Allow: []string{"sb.>"}}, false},
		{grants{Deny: []string{"sb.main.change.secret.*"}}, false},
		{grants{Deny: []string{"other.>"}}, true},
	} {
		if f := checkGrants("publish", c.g, needed); f.OK != c.ok {
			t.Errorf("%+v: %+v", c.g, f)
		}
	}
}

func TestAccountLimits(t *testing.T) {
	bad := func(list []preflight.Finding) (names []string) {
		for _, f := range list {
			if !f.OK {
				names = append(names, f.Name)
			}
		}
		return names
	}
	if got := bad(checkLimits(jetstream.AccountLimits{MaxStreams: -1, MaxStore: -1}, 3, 12)); got != nil {
		t.Error(got)
	}
	if got := bad(checkLimits(jetstream.AccountLimits{MaxStreams: 10, MaxStore: 1 << 30}, 3, 12)); !slices.Equal(got, []string{"account: streams"}) {
		t.Error(got)
	}
	if got := bad(checkLimits(jetstream.AccountLimits{MaxStreams: 15, MaxStore: 0, MaxBytesRequired: true}, 3, 12)); !slices.Equal(got, []string{"account: storage", "account: max_bytes"}) {
		t.Error(got)
	}
}

func TestTextOfEvents(t *testing.T) {
	var out bytes.Buffer
	p := &textPrinter{w: bufio.NewWriter(&out), limit: 2}
	for _, e := range []client.Event{
		client.Begin{LSN: 0x10, XID: 7, Time: time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.Local)},
		client.Change{Kind: change.Truncate},
		client.Change{Kind: change.Insert},
		client.Change{Kind: change.Delete},
		client.Commit{Handle: "h", Offset: change.Offset{LSN: 16, Op: 6}},
		client.Begin{Snapshot: true, Rows: 0},
		client.Commit{Handle: "h", Snapshot: true},
		client.CaughtUp{},
		client.Begin{LSN: 0x20, XID: 8, Time: time.Date(2026, 1, 2, 3, 4, 6, 0, time.Local), Unit: true},
		client.Change{Kind: change.Upsert},
		client.Change{Kind: change.Discard},
		client.Abort{},
	} {
		if err := p.print(e); err != nil {
			t.Fatal(err)
		}
	}
	want := "2026-01-02 03:04:05.006  lsn 0/10  xid 7\n  - every row (truncate)\n  + \n  … and 1 more (--rows 0 shows all)\n  = 3 changes, position h@16_6\n" +
		"snapshot  0 rows\n  = 0 rows, position h@0_0\n" +
		"2026-01-02 03:04:06.000  unit of transactions, from  lsn 0/20  xid 8\n  * \n  - \n" +
		"  aborted: the server began this again, so what is above since the last commit does not count\n"
	if out.String() != want {
		t.Errorf("got:\n%swant:\n%s", out.String(), want)
	}
}

func TestJSONOfEvents(t *testing.T) {
	var out bytes.Buffer
	p := &jsonPrinter{w: bufio.NewWriter(&out)}
	for _, e := range []client.Event{
		client.Begin{LSN: 0x20, XID: 8, Unit: true},
		client.Change{Kind: change.Upsert, Offset: change.Offset{LSN: 32}},
		client.Change{Kind: change.Discard, Offset: change.Offset{LSN: 32, Op: 2}},
		client.Abort{Offset: change.Offset{LSN: 16, Op: 6}},
		client.Begin{LSN: 0x20, XID: 8, Unit: true},
		client.Commit{Handle: "h", Offset: change.Offset{LSN: 40, Op: 2}, LSN: 40, Unit: true},
	} {
		if err := p.print(e); err != nil {
			t.Fatal(err)
		}
	}
	want := `{"type":"begin","lsn":"0/20","xid":8,"unit":true}
{"type":"upsert","offset":"32_0"}
{"type":"discard","offset":"32_2"}
{"type":"abort","offset":"16_6"}
{"type":"begin","lsn":"0/20","xid":8,"unit":true}
{"type":"commit","offset":"40_2","position":"h@40_2","lsn":"0/28","unit":true,"changes":0}
`
	if out.String() != want {
		t.Errorf("got:\n%swant:\n%s", out.String(), want)
	}
}

func TestRowsThatNobodyCounted(t *testing.T) {
	for want, s := range map[string]control.Shape{
		"1,234": {State: control.StateLive, Rows: 1234}, "7": {State: control.StateCreating, SnapshotRows: 7, Rows: -1}, "not counted": {State: control.StateLive, Rows: -1},
	} {
		if got := rowsText(s); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestValuesAreShownUnmistakably(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "": "''", "NULL": "'NULL'", "two words": "'two words'", "it's": "'it''s'",
		"a\nb\x1b[31m": `'a\nb\x1b[31m'`, "{1,2}": "'{1,2}'", "größe": "größe",
	} {
		if got := valueText(in, 0); got != want {
			t.Errorf("%q → %s, want %s", in, got, want)
		}
	}
	if got := term.Cut("ääääää", 3); got != "äää…" {
		t.Error(got)
	}
	s := control.Shape{Schema: "public", Table: "My Tasks", Where: "a =\n\t $1", Params: []*string{new("x")}}
	if got := describe(s); got != `public."My Tasks" where a = $1 ["x"]` {
		t.Error(got)
	}
}

func TestFailpoint(t *testing.T) {
	if f, err := dieAt(failpoint.Ingest, "", nil); f != nil || err != nil {
		t.Errorf("without a setting: %v", err)
	}
	for _, bad := range []string{"after_ack:0", "after_akc", failpoint.UnitOpen.String()} {
		if _, err := dieAt(failpoint.Ingest, bad, nil); err == nil || !strings.Contains(err.Error(), failpointVariable) {
			t.Errorf("%s: %v, want an error that names the variable", bad, err)
		}
	}
	die, err := dieAt(failpoint.Ingest, "after_ack:2", nil)
	if err != nil {
		t.Fatal(err)
	}
	die(failpoint.AfterPublish)
	die(failpoint.AfterAck) // the second would end this process
}
