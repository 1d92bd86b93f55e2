package main

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/nats-io/nats-server/v2/server"
	"go.yaml.in/yaml/v3"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/preflight"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/consumer"
)

// These tests hold Dockerfile and docker-compose.yml against the program's real
// commands, flags and variables, because nothing else here runs them.

type composeFile struct {
	Services map[string]composeService `yaml:"services"`
	Configs  map[string]struct {
		Content string `yaml:"content"`
	} `yaml:"configs"`
	Volumes map[string]any `yaml:"volumes"`
}

type composeService struct {
	Image         string            `yaml:"image"`
	Build         string            `yaml:"build"`
	Command       []string          `yaml:"command"`
	Environment   map[string]string `yaml:"environment"`
	Ports         []string          `yaml:"ports"`
	Volumes       []string          `yaml:"volumes"`
	Restart       string            `yaml:"restart"`
	ContainerName string            `yaml:"container_name"`
	DependsOn     map[string]struct {
		Condition string `yaml:"condition"`
	} `yaml:"depends_on"`
	Configs []struct {
		Source string `yaml:"source"`
		Target string `yaml:"target"`
	} `yaml:"configs"`
	Healthcheck struct {
		Test []string `yaml:"test"`
	} `yaml:"healthcheck"`
}

// ours reports whether the service runs our binary.
func (s composeService) ours() bool { return s.Build != "" }

func root(name string) string { return filepath.Join("..", "..", name) }

func readCompose(t *testing.T) composeFile {
	t.Helper()
	data, err := os.ReadFile(root("docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var c composeFile
	if err := yaml.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// interpolate fills in variables as compose does, with values for those that must be set.
func interpolate(s string) string {
	s = regexp.MustCompile(`\$\{(\w+)(:\?[^}]*)?\}`).ReplaceAllString(s, "value-of-$1")
	s = regexp.MustCompile(`\$\{\w+:-([^}]*)\}`).ReplaceAllString(s, "$1")
	return strings.ReplaceAll(s, "$$", "$")
}

// parseAs parses a command line of ours with only the given environment.
func parseAs(t *testing.T, args []string, env map[string]string) cli {
	t.Helper()
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, envPrefix) || strings.HasPrefix(name, "NATS_") || strings.HasPrefix(name, "PG") {
			t.Setenv(name, "") // remembers the value for the end of the test
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
	var c cli
	parser, err := newParser(&c, os.Stdout, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		t.Fatalf("shapebus %s: %v", strings.Join(args, " "), err)
	}
	read := map[string]bool{}
	for _, f := range parsed.Flags() {
		for _, name := range f.Envs {
			read[name] = true
		}
	}
	for name := range env {
		if strings.HasPrefix(name, envPrefix) && !read[name] {
			t.Errorf("shapebus %s does not read %s", args[0], name)
		}
	}
	return c
}

func TestComposeRunsRealCommands(t *testing.T) {
	c := readCompose(t)
	for _, name := range []string{"postgres", "nats", "ingest", "consumer", "materializer", "gateway"} {
		if _, ok := c.Services[name]; !ok {
			t.Errorf("there is no service %s", name)
		}
	}
	image := dockerfileEnv(t)
	for name, s := range c.Services {
		t.Run(name, func(t *testing.T) {
			if s.Restart == "" || len(s.Healthcheck.Test) < 2 || s.Healthcheck.Test[0] != "CMD" {
				t.Errorf("it has no restart policy or no health check")
			}
			for other, d := range s.DependsOn {
				if _, ok := c.Services[other]; !ok || d.Condition != "service_healthy" {
					t.Errorf("it depends on %s (%s)", other, d.Condition)
				}
			}
			if !s.ours() {
				return
			}
			env := maps.Clone(image)
			for k, v := range s.Environment {
				env[k] = interpolate(v)
			}
			if !slices.Equal(s.Command, []string{name}) {
				t.Errorf("command %v", s.Command)
			}
			parsed := parseAs(t, s.Command, env)
			if url := env["SHAPEBUS_DATABASE_URL"]; name == "materializer" && url+env["PGPASSWORD"] != "" {
				t.Error("it is given a database, and does not speak to one")
			} else if _, err := pg.ParseConfig(url, name); name != "materializer" && err != nil {
				t.Error(err)
			}
			if holdsPassword(env["SHAPEBUS_DATABASE_URL"]) {
				t.Error("the password is in the URL, which services log without it; keep it in PGPASSWORD")
			}
			synced := map[string]time.Duration{
				"ingest": parsed.Ingest.SyncInterval, "consumer": parsed.Consumer.SyncInterval, "materializer": parsed.Materializer.SyncInterval,
				"gateway": parsed.Gateway.SyncInterval,
			}[name]
			if opts := natsOptions(t, c); opts.SyncInterval <= 0 || synced < opts.SyncInterval {
				t.Errorf("it counts on %s, NATS syncs every %s", synced, opts.SyncInterval)
			}
			check := s.Healthcheck.Test[1:]
			if check[0] != "shapebus" {
				t.Fatalf("health check %v", check)
			}
			listen := map[string]string{"SHAPEBUS_LISTEN": env["SHAPEBUS_LISTEN"]}
			if h := parseAs(t, check[1:], listen).Health; !slices.Contains([]string{parsed.Ingest.Listen, parsed.Consumer.Listen, parsed.Materializer.Listen, parsed.Gateway.Listen}, h.Listen) {
				t.Errorf("the health check asks %s", h.Listen)
			}
		})
	}
}

func natsOptions(t *testing.T, c composeFile) *server.Options {
	t.Helper()
	opts := &server.Options{}
	if err := opts.ProcessConfigString(interpolate(c.Configs["nats"].Content)); err != nil {
		t.Fatal(err)
	}
	return opts
}

// natsHolds is what a NATS server holds in memory of the streams of a source, as docs/OPERATIONS.md says: the block of each that it
// writes.
func natsHolds(partitions int) uint64 {
	held := uint64(0)
	for _, name := range streamsOf("main", partitions) {
		if strings.HasPrefix(name, "KV_") {
			held += 4 << 20
		} else {
			held += 8 << 20
		}
	}
	return held
}

func TestComposeServers(t *testing.T) {
	c := readCompose(t)
	t.Run("NATS has JetStream on the volume and lets our user in", func(t *testing.T) {
		s, opts := c.Services["nats"], natsOptions(t, c)
		ours := c.Services["ingest"].Environment
		if !opts.JetStream || !slices.Contains(s.Volumes, "nats-data:"+opts.StoreDir) {
			t.Errorf("JetStream %v in %s, volumes %v", opts.JetStream, opts.StoreDir, s.Volumes)
		}
		if opts.Username != ours["SHAPEBUS_NATS_USER"] || opts.Password != interpolate(ours["SHAPEBUS_NATS_PASSWORD"]) {
			t.Errorf("user %s with %s does not match ours", opts.Username, opts.Password)
		}
		for _, password := range []string{"12345678", "5k", "1e9", "true", `a"b`, `a\b`, "$a", "{", "# a"} {
			opts := &server.Options{}
			conf := strings.ReplaceAll(interpolate(c.Configs["nats"].Content), "value-of-NATS_PASSWORD", password)
			if err := opts.ProcessConfigString(conf); err != nil || opts.Password != password {
				t.Errorf("the password %s is read as %q, %v", password, opts.Password, err)
			}
		}
		if len(s.Configs) != 1 || !slices.Contains(s.Command, s.Configs[0].Target) || s.Configs[0].Source != "nats" {
			t.Errorf("command %v does not read config %v", s.Command, s.Configs)
		}
		if !strings.Contains(strings.Join(s.Healthcheck.Test, " "), ":"+strconv.Itoa(opts.HTTPPort)+"/healthz") {
			t.Errorf("health check %v, port %d", s.Healthcheck.Test, opts.HTTPPort)
		}
		if minor := imageVersion(t, s.Image, `^nats:2\.(\d+)`); minor < topology.MinServerMinor {
			t.Errorf("image %s is too old", s.Image)
		}
		version, _, _ := strings.Cut(strings.TrimPrefix(s.Image, "nats:"), "-")
		if makefile, err := os.ReadFile(root("Makefile")); err != nil || !regexp.MustCompile(`(?m)^NATS +\?=.* `+regexp.QuoteMeta(version)+`( |$)`).Match(makefile) {
			t.Errorf("image %s is none that the crash story runs on, %v", s.Image, err)
		}
		limit, err := humanize.ParseBytes(s.Environment["GOMEMLIMIT"])
		if held := 2 * natsHolds(consumer.DefaultPartitions); err != nil || limit < held {
			t.Errorf("GOMEMLIMIT of %s, want %s or more: %v", s.Environment["GOMEMLIMIT"], humanize.IBytes(held), err)
		}
	})
	t.Run("Postgres replicates logically and keeps its data", func(t *testing.T) {
		s := c.Services["postgres"]
		if !slices.Contains(s.Command, "wal_level=logical") || !slices.Contains(s.Volumes, "postgres-data:/var/lib/postgresql/data") {
			t.Errorf("command %v, volumes %v", s.Command, s.Volumes)
		}
		if major := imageVersion(t, s.Image, `^postgres:(\d+)`); major < preflight.MinMajor || major > 17 { // 18 moved the data directory
			t.Errorf("image %s", s.Image)
		}
	})
	t.Run("our role is no superuser, and can do its work", func(t *testing.T) {
		url, err := pg.ParseConfig(c.Services["consumer"].Environment["SHAPEBUS_DATABASE_URL"], "test")
		if err != nil {
			t.Fatal(err)
		}
		s := c.Services["postgres"]
		if len(s.Configs) != 1 || s.Configs[0].Source != "roles" || !strings.HasPrefix(s.Configs[0].Target, "/docker-entrypoint-initdb.d/") {
			t.Errorf("configs %v", s.Configs)
		}
		script := interpolate(c.Configs["roles"].Content)
		if !strings.Contains(script, "CREATE ROLE "+url.User+" LOGIN REPLICATION PASSWORD :'password'") || strings.Contains(script, "SUPERUSER") {
			t.Errorf("user %s is not made by\n%s", url.User, script)
		}
		if url.Database != s.Environment["POSTGRES_DB"] || s.Environment["SHAPEBUS_PASSWORD"] != c.Services["consumer"].Environment["PGPASSWORD"] {
			t.Errorf("database %s, environment %v", url.Database, s.Environment)
		}
	})
	t.Run("volumes are declared", func(t *testing.T) {
		for name, s := range c.Services {
			for _, v := range s.Volumes {
				if volume, _, _ := strings.Cut(v, ":"); !hasKey(c.Volumes, volume) {
					t.Errorf("%s uses volume %s", name, volume)
				}
			}
		}
	})
	t.Run("consumer and materializer can be scaled", func(t *testing.T) {
		for _, name := range []string{"consumer", "materializer"} {
			if s := c.Services[name]; len(s.Ports) > 0 || s.ContainerName != "" {
				t.Errorf("%s: ports %v, name %q: two of them would collide", name, s.Ports, s.ContainerName)
			}
		}
	})
	t.Run("no password is written down", func(t *testing.T) {
		for name, s := range c.Services {
			for key, value := range s.Environment {
				if strings.Contains(key, "PASSWORD") && !strings.HasPrefix(value, "${") {
					t.Errorf("%s: %s is in the file", name, key)
				}
			}
		}
	})
}

func hasKey(m map[string]any, key string) bool { _, ok := m[key]; return ok }

func imageVersion(t *testing.T, image, pattern string) int {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(image)
	if m == nil {
		t.Fatalf("image %s has no version", image)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// dockerfile returns the file's instructions, continued lines joined.
func dockerfile(t *testing.T) [][2]string {
	t.Helper()
	data, err := os.ReadFile(root("Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	var list [][2]string
	for line := range strings.SplitSeq(strings.ReplaceAll(string(data), "\\\n", " "), "\n") {
		if name, rest, ok := strings.Cut(strings.TrimSpace(line), " "); ok && !strings.HasPrefix(name, "#") {
			list = append(list, [2]string{name, strings.TrimSpace(rest)})
		}
	}
	return list
}

func dockerfileEnv(t *testing.T) map[string]string {
	t.Helper()
	env := map[string]string{}
	for _, i := range dockerfile(t) {
		if i[0] == "ENV" {
			name, value, _ := strings.Cut(i[1], "=")
			env[name] = value
		}
	}
	return env
}

func TestDockerfile(t *testing.T) {
	env := dockerfileEnv(t)
	var user string
	copied := map[string]bool{}
	for _, i := range dockerfile(t) {
		switch i[0] {
		case "FROM":
			if m := regexp.MustCompile(`^golang:([0-9.]+)`).FindStringSubmatch(i[1]); m != nil {
				mod, err := os.ReadFile(root("go.mod"))
				if err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(string(mod), "\ngo "+m[1]) {
					t.Errorf("built with Go %s, go.mod wants another", m[1])
				}
			}
		case "COPY":
			for _, source := range strings.Fields(i[1])[:len(strings.Fields(i[1]))-1] {
				if source == "." {
					t.Error("everything is copied, secrets too")
				}
				if strings.HasPrefix(i[1], "--from") {
					continue
				}
				if _, err := os.Stat(root(source)); err != nil {
					t.Error(err)
				}
				copied[source] = true
			}
		case "USER":
			user = i[1]
		case "ENTRYPOINT":
			if got := words(t, i[1]); !slices.Equal(got, []string{"shapebus"}) {
				t.Errorf("entry point %v", got)
			}
		case "HEALTHCHECK":
			_, cmd, _ := strings.Cut(i[1], "CMD ")
			if got := words(t, cmd); got[0] != "shapebus" || parseAs(t, got[1:], env).Health.Listen != env["SHAPEBUS_LISTEN"] {
				t.Errorf("health check %v", got)
			}
		case "ENV", "ARG":
			if regexp.MustCompile(`(?i)password|secret|token|creds|nkey`).MatchString(i[1]) {
				t.Errorf("%s %s: a secret in the image", i[0], i[1])
			}
		}
	}
	if user == "" || user == "root" || user == "0" {
		t.Errorf("runs as user %q", user)
	}
	const module = "github.com/shapebus/shapebus/"
	deps, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for p := range strings.FieldsSeq(string(deps)) {
		if ours, ok := strings.CutPrefix(p, module); ok {
			if dir, _, _ := strings.Cut(ours, "/"); !copied[dir] {
				t.Errorf("package %s is not copied, so the image cannot be built", p)
			}
		}
	}
}

func words(t *testing.T, list string) []string {
	t.Helper()
	var w []string
	if err := json.Unmarshal([]byte(list), &w); err != nil || len(w) == 0 {
		t.Fatalf("%s: want a JSON list: %v", list, err)
	}
	return w
}
