package pg

import (
	"errors"
	"strings"
	"testing"
)

func TestRedactShowsNoSecret(t *testing.T) {
	for _, in := range []string{
		"postgres://u:s3cret@h/db", "postgresql://u:s3cret@h1:1,h2:2/db?sslmode=require", "postgres://u:s3cret/x@h/db",
		"postgres://u:s3cret@x@h/db", "postgres://u:pa?s3cret@h/db", "postgres://u:pa#s3cret@h/db", "postgres://u:1/s3cret@h/db",
		"postgres://h/db?password=s3cret", "postgres://h/db?pass%77ord=s3cret", "postgres://h/db?sslpassword=s3cret&user=u",
		"postgres://u@h/db?host=a&x=s3cret", "postgres://u:12?a=s3cret@h/db", "postgres://u:s3cret", "postgres://u:%zzs3cret@h/db",
		"host=h password=s3cret dbname=d", "host=h password='s3cret x' dbname=d", `host=h password='a\'s3cret' dbname=d`,
		"password = s3cret host=h", "host=h password='s3cret", "s3cret", "host=h passwd s3cret", "u:s3cret@h/db", "postgres://u:p s3cret@h",
		"postgres://:s3cret@/db", "postgres://u:a,s3cret@h/db", "host=h options='-c x=s3cret'",
	} {
		if got := Redact(in); strings.Contains(got, "s3cret") {
			t.Errorf("Redact(%q) = %q", in, got)
		}
		if _, err := ParseConfig(in, "test"); err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("ParseConfig(%q): %v", in, err)
		}
	}
}

func TestRedactKeepsWhatHelps(t *testing.T) {
	for in, want := range map[string]string{
		"postgres://u:p@h:5432/db?sslmode=require&x=y":       "postgres://u@h:5432/db?sslmode=require",
		"postgresql://u:p@h1:1,[::1]:2/db":                   "postgresql://u@h1:1,[::1]:2/db",
		"host=/tmp user=u dbname='d' password=p sslmode=off": "host=/tmp user=u dbname=d sslmode=off",
		"postgres:///db?host=/var/run/postgresql&password=p": "postgres:///db?host=/var/run/postgresql",
		"postgres://127.0.0.1:5432/x?sslmode=disable":        "postgres://127.0.0.1:5432/x?sslmode=disable",
		"postgres://u:pa%2Fss@h/db":                          "postgres://u@h/db",
		"nonsense":                                           unreadable,
	} {
		if got := Redact(in); got != want {
			t.Errorf("Redact(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestParseConfigFixesTheTextOfValues(t *testing.T) {
	cfg, err := ParseConfig("postgres://u:p@h/db?datestyle=German&timezone=Europe/Berlin&application_name=x", "ingest")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"DateStyle": "ISO, MDY", "TimeZone": "UTC", "application_name": "shapebus/ingest", "row_security": "off"}
	for name, value := range want {
		if got := cfg.RuntimeParams[name]; got != value {
			t.Errorf("%s = %q, want %q", name, got, value)
		}
	}
	if _, twice := cfg.RuntimeParams["datestyle"]; twice {
		t.Error("the user's DateStyle is still there")
	}
}

func TestParseConfigSaysWhatIsWrong(t *testing.T) {
	for in, want := range map[string]string{
		"postgres://u:p@h/db?sslmode=sometimes":                               "sslmode is invalid",
		"postgres://u:p@h/db?sslmode=verify-full&sslrootcert=/does/not/exist": "/does/not/exist",
		"postgres://u:a/b@h/db":                                               "percent-encoded",
	} {
		if _, err := ParseConfig(in, "test"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseConfig(%q): %v, want %q in it", in, err, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"items", "item", 1}, {"kitten", "sitting", 3}, {"größe", "grösse", 2}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestErrorsForPeople(t *testing.T) {
	cause := errors.New("x")
	e := &NeedsError{What: "role a may not read table b", As: "a superuser", Statement: "GRANT SELECT ON b TO a", Err: cause}
	if got, want := e.Error(), "role a may not read table b; run as a superuser: GRANT SELECT ON b TO a"; got != want {
		t.Errorf("got %q", got)
	}
	if !errors.Is(e, cause) {
		t.Error("the cause is lost")
	}
	n := &NotFoundError{Schema: "public", Name: "itmes", Similar: []string{"public.items"}}
	if got, want := n.Error(), "table public.itmes does not exist in this database; did you mean public.items?"; got != want {
		t.Errorf("got %q", got)
	}
}
