// Package shapebus_test holds what is true of the tree as a whole: which package may import which, and that every package
// says what it is for. Reading the rules is a way to get to know the system.
package shapebus_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/shapebus/shapebus"

// file is a Go file as far as the rules care.
type file struct {
	path    string // from the root of the tree, with slashes
	pkg     string // its directory, "." for the root
	test    bool
	doc     bool     // has a package comment
	imports []string // packages of this module without the module's name and with a leading "./"
}

// within says whether a package is one of the given ones or below one of them.
func within(pkg string, parents ...string) bool {
	return slices.ContainsFunc(parents, func(p string) bool { return pkg == p || strings.HasPrefix(pkg, p+"/") })
}

// A rule looks at one import of one file. Rules about packages that do not exist hold.
type rule struct {
	because string
	broken  func(f file, imported string) bool
}

var rules = []rule{
	{"services meet only in JetStream; what two of them share belongs in internal, or in pkg if apps need it", func(f file, imported string) bool {
		return within(f.pkg, "services") && within(imported, "./services") && !within(imported, "./"+service(f.pkg))
	}},
	{"imports go cmd → services → internal → pkg: pkg is the vocabulary that users import, it knows neither services nor commands", func(f file, imported string) bool {
		return within(f.pkg, "pkg") && within(imported, "./services", "./cmd", "./e2e")
	}},
	{"imports go cmd → services → internal → pkg: internal is the vocabulary that services share", func(f file, imported string) bool {
		return within(f.pkg, "internal") && within(imported, "./services", "./cmd", "./e2e")
	}},
	{"imports go cmd → services → internal → pkg: what apps import needs of the inside only how streams are read and where temporary files are", func(f file, imported string) bool {
		return !f.test && within(f.pkg, "pkg") && within(imported, "./internal") && !within(imported, "./internal/stream", "./internal/tempdir")
	}},
	{"imports go cmd → services → internal → pkg: a service does not know the command that runs it", func(f file, imported string) bool {
		return within(f.pkg, "services") && within(imported, "./cmd", "./e2e")
	}},
	{"e2e looks at the product from outside: the binary, Postgres, NATS and the client; only e2e/stack runs services in the test's process", func(f file, imported string) bool {
		return within(f.pkg, "e2e") && (within(imported, "./cmd") || within(imported, "./services") && !within(f.pkg, "e2e/stack"))
	}},
	{"change holds values only and costs its users nothing: standard library only", func(f file, imported string) bool {
		return !f.test && f.pkg == "pkg/change" && !standard(imported)
	}},
	{"shape holds definitions only: standard library and change", func(f file, imported string) bool {
		return !f.test && f.pkg == "pkg/shape" && !standard(imported) && imported != "./pkg/change"
	}},
	onlyIn("github.com/nats-io/nats-server", "services speak to NATS through a jetstream.JetStream; only natsembed runs a server", "pkg/natsembed"),
	onlyIn("github.com/jackc/pglogrepl", "one session with the slot, one place that knows the replication protocol", "services/ingest"),
	onlyIn("github.com/alecthomas/kong", "flags and environment are read in cmd and nowhere else; packages get a Config", "cmd"),
	onlyIn("github.com/vmihailenco/msgpack", "the formats of messages are defined in one place", "pkg/wire"),
	onlyIn("go.opentelemetry.io/otel", "services make spans through package tracing, and what apps import brings them no dependency", "internal/tracing", "internal/telemetry"),
	onlyIn("go.opentelemetry.io/otel/sdk", "where spans go is decided in one place", "internal/telemetry"),
	onlyIn("./internal/telemetry", "everything else gets its logger and its metrics injected", "cmd", "internal/telemetry"),
	onlyIn("./pkg/natsembed", "services are given a connection and do not care whose server it is", "cmd", "internal/demo", "e2e", "pkg/natsembed"),
	onlyIn("./pkg/pgtemp", "services are given a connection string and do not care whose server it is", "cmd", "internal/demo", "e2e", "pkg/pgtemp"),
	onlyIn("./internal/demo", "the demo shows the product from outside; the product does not know it", "cmd", "internal/demo"),
	onlyIn("./internal/term", "what is written for people is written by commands", "cmd", "internal/demo", "internal/term"),
	{"a room knows only the rooms below it in its house, so that a row's way runs down: what two rooms share lies below both", func(f file, imported string) bool {
		for house, below := range rooms {
			inside := within(imported, "./"+house)
			to := strings.TrimPrefix(imported, "./"+house)
			from, room := strings.CutPrefix(f.pkg, house+"/")
			if f.test && house == "internal/pg" {
				continue // what one of them does to a server is seen by another
			}
			if f.test && from == "reconcile" && to == "/valuesets" {
				continue // chains are played through with what a consumer knows of their sets
			}
			if room && inside && to != "/"+from && !slices.Contains(below[from], strings.TrimPrefix(to, "/")) {
				return true
			}
		}
		return false
	}},
	{"what becomes of a change is decided without I/O and without a clock, so that tests can drive it", func(f file, imported string) bool {
		return !f.test && within(f.pkg, "services/consumer/follow", "services/consumer/filter", "services/consumer/reconcile") && within(imported, effects...)
	}},
	onlyIn("testing", "test helpers must not reach the binary", "e2e", "pkg/pgtemp/pgtest", "pkg/natsembed/natstest", "internal/pg/dbtest", "internal/proptest"),
	onlyIn("./internal/pg/dbtest", "test helpers must not reach the binary", "internal/pg/dbtest"),
}

// rooms are the packages that are made of others, each with what its rooms may know of it. A package on top knows all of its
// rooms.
var rooms = map[string]map[string][]string{
	"services/consumer": roomsBelow,
	// Two read from the slot, each in its own way, and know nothing of what becomes of it; tail looks at what became of it, and
	// knows no slot.
	"services/ingest": {"pgoutput": {}, "coalesce": {}, "tail": {}},
	// What an app is given, and what gives it: the client on top keeps rows in memory and speaks to the control plane.
	"pkg/client": {"internal/logread": {"event"}, "event": {}},
	// All stand on the connection and the catalog, which are the package itself; only the checks look into all of them.
	"internal/pg": {
		"preflight": {"", "prepare", "slots", "snapshots"},
		"prepare":   {""},
		"slots":     {""},
		"snapshots": {""},
		"dbtest":    {""},
	},
}

// roomsBelow are the rooms of the consumer that each of its rooms may know, from the top down. The consumer itself knows
// them all. A row's way is changelog → live → follow → shapelog.
var roomsBelow = map[string][]string{
	// It compiles clauses and reads back what is stored; it knows no shape that runs.
	"plane": {"plane/intake", "plane/whereis", "plane/answer", "plane/allow", "plane/refuse", "tables", "follow", "shapelog", "changelog"},
	// The rooms of the control plane: none of them knows it, and no other room of the consumer knows them.
	"plane/whereis": {"plane/answer", "plane/allow", "plane/refuse", "follow"},
	"plane/intake":  {"plane/refuse"},
	"plane/answer":  {"plane/refuse"},
	"plane/allow":   {"plane/refuse"},
	"plane/refuse":  {},
	// Shapes with subqueries behind the main loop, and shapes that are being created: they do not know each other.
	"group": {"group/unit", "group/rows", "group/selected", "group/conns", "group/question", "live", "follow", "valuesets", "shapelog", "changelog", "reconcile"},
	// The rooms of groups: none of them knows these.
	"group/unit":     {"group/conns", "live", "changelog", "reconcile"},
	"group/rows":     {"follow", "shapelog"},
	"group/selected": {"live", "follow", "valuesets", "reconcile"},
	"group/conns":    {"follow"}, // its test: how deep a clause may be
	"group/question": {},
	"create":         {"live", "follow", "shapelog", "changelog"},
	// New beginnings of the logs of live shapes, made beside them; of those with subqueries at the end of a unit.
	"fold": {"group", "group/unit", "group/rows", "live", "follow", "shapelog", "changelog"},
	// How a shape goes on when its partition is taken over: it decides, and does nothing.
	"course": {"live", "shapelog"},
	// The main loop asks what is built on it through an interface.
	"live": {"follow", "valuesets", "shapelog", "changelog", "filter", "tables"},
	// It decides, and reads and writes nothing.
	"follow": {"filter", "reconcile", "shapelog"},
	// Each of these can be understood by itself.
	"valuesets": {},
	"shapelog":  {},
	"changelog": {},
	"tables":    {},
	"filter":    {},
	"reconcile": {},
}

// effects are what packages of pure decisions must not know.
var effects = []string{
	"time", "os", "net", "log/slog", "database/sql",
	"github.com/nats-io/nats.go", "github.com/jackc/pgx/v5", "./internal/stream", "./internal/service",
}

// onlyIn is the rule that, outside of tests, a dependency is known to the given packages alone.
func onlyIn(dependency, because string, homes ...string) rule {
	return rule{because, func(f file, imported string) bool {
		return !f.test && within(imported, dependency) && !within(f.pkg, homes...)
	}}
}

// service is the directory of the service that a package belongs to: services/ingest for services/ingest/slot.
func service(pkg string) string {
	parts := strings.SplitN(pkg, "/", 3)
	return path.Join(parts[:min(2, len(parts))]...)
}

// standard says whether an import is from the standard library: its first element has no dot.
func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

func TestImportsFollowTheRules(t *testing.T) {
	for _, f := range goFiles(t) {
		for _, imported := range f.imports {
			for _, r := range rules {
				if r.broken(f, imported) {
					t.Errorf("%s imports %s, but %s", f.path, imported, r.because)
				}
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	documented := map[string]bool{}
	for _, f := range goFiles(t) {
		if !f.test {
			documented[f.pkg] = documented[f.pkg] || f.doc
		}
	}
	for pkg, ok := range documented {
		if !ok {
			t.Errorf("package %s has no package comment; say in a paragraph what it does and what it refuses to do", pkg)
		}
	}
}

// A rule that nothing can break protects nothing.
func TestRulesCatchWhatTheyForbid(t *testing.T) {
	for _, c := range []struct {
		pkg, imported string
		test, broken  bool
	}{
		{pkg: "services/ingest", imported: "./services/consumer", broken: true},
		{pkg: "services/ingest", imported: "./services/consumer", test: true, broken: true},
		{pkg: "services/ingest/coalesce", imported: "./services/ingest/pgoutput", broken: true},
		{pkg: "services/ingest/tail", imported: "./services/ingest/pgoutput", broken: true},
		{pkg: "services/ingest", imported: "./services/ingest/pgoutput"},
		{pkg: "services/ingest/pgoutput", imported: "./services/ingest", broken: true},
		{pkg: "services/ingest", imported: "./pkg/wire"},
		{pkg: "services/ingest", imported: "./cmd/shapebus", broken: true},
		{pkg: "internal/stream", imported: "./services/ingest", broken: true},
		{pkg: "internal/stream", imported: "./pkg/topology"},
		{pkg: "pkg/client", imported: "./internal/stream"},
		{pkg: "pkg/client", imported: "./internal/registry", broken: true},
		{pkg: "cmd/shapebus", imported: "./services/ingest"},
		{pkg: "e2e/crash", imported: "./services/ingest", test: true, broken: true},
		{pkg: "e2e/stack", imported: "./services/ingest"},
		{pkg: "e2e/stack", imported: "./cmd/shapebus", broken: true},
		{pkg: "e2e/bench", imported: "./pkg/client"},
		{pkg: "pkg/change", imported: "encoding/binary"},
		{pkg: "pkg/change", imported: "./pkg/wire", broken: true},
		{pkg: "pkg/change", imported: "pgregory.net/rapid", broken: true},
		{pkg: "pkg/change", imported: "pgregory.net/rapid", test: true},
		{pkg: "pkg/shape", imported: "./pkg/change"},
		{pkg: "pkg/shape", imported: "./pkg/wire", broken: true},
		{pkg: "services/consumer", imported: "github.com/nats-io/nats-server/v2/server", broken: true},
		{pkg: "pkg/natsembed", imported: "github.com/nats-io/nats-server/v2/server"},
		{pkg: "services/consumer", imported: "github.com/jackc/pglogrepl", broken: true},
		{pkg: "services/ingest", imported: "github.com/jackc/pglogrepl"},
		{pkg: "pkg/client", imported: "github.com/alecthomas/kong", broken: true},
		{pkg: "cmd/shapebus", imported: "github.com/alecthomas/kong"},
		{pkg: "internal/registry", imported: "github.com/vmihailenco/msgpack/v5", broken: true},
		{pkg: "pkg/wire", imported: "github.com/vmihailenco/msgpack/v5/msgpcode"},
		{pkg: "services/ingest", imported: "./internal/telemetry", broken: true},
		{pkg: "services/ingest", imported: "./pkg/pgtemp", broken: true},
		{pkg: "services/ingest", imported: "./pkg/pgtemp/pgtest", test: true},
		{pkg: "pkg/client", imported: "testing", broken: true},
		{pkg: "pkg/client", imported: "go.opentelemetry.io/otel/trace", broken: true},
		{pkg: "services/consumer/shapelog", imported: "go.opentelemetry.io/otel/trace", broken: true},
		{pkg: "services/consumer/shapelog", imported: "./internal/tracing"},
		{pkg: "internal/tracing", imported: "go.opentelemetry.io/otel/trace"},
		{pkg: "internal/tracing", imported: "go.opentelemetry.io/otel/sdk/trace", broken: true},
		{pkg: "internal/telemetry", imported: "go.opentelemetry.io/otel/sdk/trace"},
		{pkg: "pkg/client/internal/logread", imported: "./pkg/client/event"},
		{pkg: "pkg/client/event", imported: "./pkg/client/internal/logread", broken: true},
		{pkg: "pkg/client/internal/logread", imported: "./pkg/client", test: true, broken: true},
		{pkg: "internal/pg/slots", imported: "./internal/pg"},
		{pkg: "internal/pg/slots", imported: "./internal/pg/prepare", broken: true},
		{pkg: "internal/pg/slots", imported: "./internal/pg/prepare", test: true},
		{pkg: "internal/pg/slots", imported: "./internal/predicate"},
		{pkg: "internal/pg/preflight", imported: "./internal/pg/prepare"},
		{pkg: "internal/pg/preflight", imported: "./internal/pg/dbtest", broken: true},
		{pkg: "services/consumer", imported: "./services/consumer/plane"},
		{pkg: "services/consumer/plane", imported: "./services/consumer", broken: true},
		{pkg: "services/consumer/plane", imported: "./services/consumer/shapelog"},
		{pkg: "services/consumer/shapelog", imported: "./services/consumer/plane", broken: true},
		{pkg: "services/consumer/plane", imported: "./services/consumer/plane/whereis"},
		{pkg: "services/consumer/plane/whereis", imported: "./services/consumer/plane/refuse"},
		{pkg: "services/consumer/plane/whereis", imported: "./services/consumer/plane", broken: true},
		{pkg: "services/consumer/plane/refuse", imported: "./services/consumer/plane/intake", broken: true},
		{pkg: "services/consumer/live", imported: "./services/consumer/plane/refuse", broken: true},
		{pkg: "services/consumer/tables", imported: "./services/consumer/follow", broken: true},
		{pkg: "services/consumer/follow", imported: "./services/consumer/filter"},
		{pkg: "services/consumer/follow", imported: "./internal/pg"},
		{pkg: "services/consumer/follow", imported: "time", broken: true},
		{pkg: "services/consumer/follow", imported: "time", test: true},
		{pkg: "services/consumer/reconcile", imported: "github.com/nats-io/nats.go/jetstream", broken: true},
		{pkg: "services/consumer/follow", imported: "./services/consumer/valuesets", broken: true},
		{pkg: "services/consumer/create", imported: "./services/consumer/live"},
		{pkg: "services/consumer/create", imported: "./services/consumer/group", broken: true},
		{pkg: "services/consumer/group", imported: "./services/consumer/create", broken: true},
		{pkg: "services/consumer/live", imported: "./services/consumer/group", broken: true},
		{pkg: "services/consumer/live", imported: "./services/consumer/live", test: true},
		{pkg: "cmd/shapebus", imported: "./internal/demo"},
		{pkg: "services/ingest", imported: "./internal/term", broken: true},
		{pkg: "internal/demo", imported: "./services/ingest", broken: true},
		{pkg: "internal/demo", imported: "./pkg/client"},
	} {
		f := file{pkg: c.pkg, test: c.test}
		broken := slices.ContainsFunc(rules, func(r rule) bool { return r.broken(f, c.imported) })
		if broken != c.broken {
			t.Errorf("%s importing %s (test %v): forbidden is %v, want %v", c.pkg, c.imported, c.test, broken, c.broken)
		}
	}
}

// goFiles reads the heads of all Go files of this module.
func goFiles(t *testing.T) []file {
	t.Helper()
	var files []file
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != "." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || entry.Name() == "node_modules") {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil && name != "." {
				return filepath.SkipDir // another module
			}
			return nil
		}
		if filepath.Ext(name) == ".go" {
			files = append(files, read(t, name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("found only %d Go files; these tests look at the tree around them", len(files))
	}
	return files
}

func read(t *testing.T, name string) file {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	f := file{
		path: filepath.ToSlash(name), pkg: path.Dir(filepath.ToSlash(name)),
		test: strings.HasSuffix(name, "_test.go"), doc: says(parsed.Doc),
	}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if rest, ok := strings.CutPrefix(imported, module+"/"); ok {
			imported = "./" + rest
		}
		f.imports = append(f.imports, imported)
	}
	return f
}

func says(doc *ast.CommentGroup) bool { return doc != nil && len(strings.TrimSpace(doc.Text())) > 0 }
