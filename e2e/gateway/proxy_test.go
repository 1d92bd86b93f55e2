package gateway

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/e2e/proc"
	"github.com/shapebus/shapebus/e2e/stack"
)

// TestTheProxyOfTheExamples has users of an app read through the program of examples/proxy. Whatever they add to a request, each sees
// their own rows, and no cache may keep them for another.
func TestTheProxyOfTheExamples(t *testing.T) {
	s := stack.Start(t, strings.ReplaceAll(items, "items", "tasks"))
	s.Gateway.Access.Secret = "of the gateway"
	gateway, _ := s.StartGateway()
	program := filepath.Join(t.TempDir(), "proxy")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../examples/proxy").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	proc.Spawn(t, proc.Options{Name: "proxy", Path: program, Args: []string{"-listen", address, "-gateway", gateway, "-secret", s.Gateway.Access.Secret, "-sessions", "a-session=ann,b-session=bob"}})
	ask := func(method string, q url.Values, session, body string) (int, http.Header, []string, error) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+"/tasks?"+q.Encode(), strings.NewReader(body))
		if err != nil {
			return 0, nil, nil, err
		}
		if session != "" {
			req.Header.Set("Authorization", "Bearer "+session)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, nil, nil, err
		}
		defer resp.Body.Close()
		var owners []string
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			for rest := lines.Text(); ; {
				_, after, ok := strings.Cut(rest, `"owner":"`)
				if !ok {
					break
				}
				owner, after, _ := strings.Cut(after, `"`)
				owners, rest = append(owners, owner), after
			}
		}
		return resp.StatusCode, resp.Header, owners, lines.Err()
	}
	s.Until("the proxy answers", func() (bool, error) {
		status, _, _, err := ask(http.MethodGet, values("offset", "-1"), "a-session", "")
		return status == http.StatusOK, err
	}, func() string { return "" })
	for name, q := range map[string]url.Values{
		"nothing more":         values("offset", "-1"),
		"another table":        values("offset", "-1", "table", "secrets"),
		"a condition":          values("offset", "-1", "where", "true"),
		"somebody else":        values("offset", "-1", "params[1]", "bob", "params[2]", "bob"),
		"a secret":             values("offset", "-1", "secret", "x", "api_secret", "x"),
		"columns":              values("offset", "-1", "columns", "id,owner", "queryable_columns", "owner"),
		"several of all":       {"offset": {"-1", "-1"}, "table": {"secrets", "secrets"}, "where": {"true", "true"}, "params[1]": {"bob", "bob"}},
		"a subset":             values("offset", "-1", "subset__where", "owner = 'bob' OR true"),
		"a subset of another":  values("offset", "-1", "subset__where", "true) OR (true"),
		"a name that is coded": {"offset": {"-1"}, "t%61ble": {"secrets"}, "whERE": {"true"}},
	} {
		for session, owner := range map[string]string{"a-session": "ann", "b-session": "bob"} {
			status, header, owners, err := ask(http.MethodGet, q, session, "")
			if err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(owners, func(o string) bool { return o != owner }) || status == http.StatusOK && len(owners) == 0 && !q.Has("subset__where") {
				t.Errorf("%s: %s sees rows of %v, status %d", name, owner, owners, status)
			}
			if keep := header.Get("Cache-Control"); strings.Contains(keep, "public") || !slices.Contains(header.Values("Vary"), "Authorization") {
				t.Errorf("%s: %s, %s: others may be given it", name, keep, header.Values("Vary"))
			}
		}
	}
	for name, c := range map[string]struct {
		method, session, body string
		want                  int
	}{
		"nobody":             {http.MethodGet, "", "", http.StatusUnauthorized},
		"an unknown session": {http.MethodGet, "c-session", "", http.StatusUnauthorized},
		"a delete":           {http.MethodDelete, "a-session", "", http.StatusMethodNotAllowed},
		"a subset in a body": {http.MethodPost, "a-session", `{"where": "owner = 'bob' OR true"}`, 0},
		"a table in a body":  {http.MethodPost, "a-session", `{"table": "secrets", "where": "true"}`, http.StatusBadRequest},
		"a user in a body":   {http.MethodPost, "a-session", `{"params[1]": "bob"}`, http.StatusBadRequest},
		"all in a body":      {http.MethodPost, "a-session", `{"subset": {}, "where": "true"}`, http.StatusBadRequest},
	} {
		status, _, owners, err := ask(c.method, values("offset", "-1"), c.session, c.body)
		if err != nil {
			t.Fatal(err)
		}
		if c.want != 0 && status != c.want || status == 0 || slices.Contains(owners, "bob") {
			t.Errorf("%s: status %d, rows of %v", name, status, owners)
		}
	}
	// Events come as they happen.
	_, header, _, err := ask(http.MethodGet, values("offset", "-1"), "a-session", "")
	if err != nil {
		t.Fatal(err)
	}
	conn := dial(t, "http://"+address)
	send(t, conn, fmt.Sprintf("GET /tasks?offset=0_inf&handle=%s&live=true&live_sse=true HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a-session\r\n\r\n", header.Get("Electric-Handle")))
	s.Exec(`INSERT INTO tasks VALUES (1001, 'bob', 'not for ann'), (1000, 'ann', 'for ann')`)
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("no event came: %v", err)
		}
		if strings.Contains(line, "not for ann") {
			t.Fatal("a stream tells ann of a row of bob")
		}
		if strings.Contains(line, "for ann") {
			break
		}
	}
}
