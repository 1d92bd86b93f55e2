package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/shapebus/shapebus/e2e/stack"
)

const items = `
CREATE TABLE items (id bigint PRIMARY KEY, owner text, title text NOT NULL);
INSERT INTO items SELECT i, CASE WHEN i % 2 = 0 THEN 'ann' ELSE 'bob' END, 'item ' || i FROM generate_series(1, 40) i;
CREATE TABLE secrets (id int PRIMARY KEY);`

// await asks until the shape can be read.
func await(t *testing.T, base string, q url.Values, header ...string) reply {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		r := mustGet(t, base, q, header...)
		if r.status != http.StatusServiceUnavailable {
			return r
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %s", q.Encode(), r.body)
		}
	}
}

// TestWhatARequestMayAskFor plays requests of those who may ask for little.
func TestWhatARequestMayAskFor(t *testing.T) {
	s := stack.Start(t, items)
	secret := []byte(strings.Repeat("k", 32))
	s.Gateway.Access.TokenSecret, s.Gateway.Access.TokenAudience = secret, "app"
	base, _ := s.StartGateway()
	token := func(claims jwt.MapClaims, key []byte) string {
		if claims["exp"] == nil {
			claims["exp"] = time.Now().Add(time.Hour).Unix()
		}
		text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + text
	}
	ann := map[string]any{"table": "items", "where": "owner = $1", "params": []string{"ann"}}
	good := token(jwt.MapClaims{"aud": "app", "shapes": []any{ann}}, secret)
	q := values("table", "items", "offset", "-1")
	r := await(t, base, q, "Authorization", good)
	if messages := r.messages(t); len(messages) != 21 || *messages[0].Value["owner"] != "ann" {
		t.Errorf("ann sees %d messages: %.300s", len(messages), r.body)
	}
	if got := r.header.Get("Cache-Control"); !strings.HasPrefix(got, "private") {
		t.Errorf("caches that others share may keep it: %s", got)
	}
	narrowed := await(t, base, values("table", "items", "offset", "-1", "where", "id <= $1 OR true", "params[1]", "10"), "Authorization", good)
	if n := len(narrowed.messages(t)); n != 21 {
		t.Errorf("with a condition of her own ann sees %d messages", n)
	}
	for name, c := range map[string]struct {
		q    url.Values
		auth string
		want int
	}{
		"no token":              {q, "", 401},
		"another key":           {q, token(jwt.MapClaims{"aud": "app", "shapes": []any{ann}}, []byte(strings.Repeat("x", 32))), 401},
		"another audience":      {q, token(jwt.MapClaims{"aud": "other", "shapes": []any{ann}}, secret), 401},
		"expired":               {q, token(jwt.MapClaims{"aud": "app", "shapes": []any{ann}, "exp": time.Now().Add(-time.Hour).Unix()}, secret), 401},
		"no signature":          {q, "Bearer " + unsigned(t, jwt.MapClaims{"aud": "app", "shapes": []any{ann}, "exp": time.Now().Add(time.Hour).Unix()}), 401},
		"nothing granted":       {q, token(jwt.MapClaims{"aud": "app"}, secret), 403},
		"another table":         {values("table", "secrets", "offset", "-1"), good, 403},
		"a table that is not":   {values("table", "nothing", "offset", "-1"), good, 403},
		"an escape":             {values("table", "items", "offset", "-1", "where", "true) OR (true"), good, 400},
		"a table without token": {values("table", "nothing", "offset", "-1"), "", 401},
	} {
		r := mustGet(t, base, c.q, "Authorization", c.auth)
		if r.status != c.want {
			t.Errorf("%s: status %d, want %d: %.200s", name, r.status, c.want, r.body)
		}
		if c.want == 401 && string(r.body) != `{"message":"Unauthorized"}` {
			t.Errorf("%s: %s says more than it should", name, r.body)
		}
	}
	for _, path := range []string{"/v1/shape/", "/v1//shape", "/v1/%73hape", "/v1/./shape", "/x/../v1/shape", "//v1/shape", "/v1/shape/../shape"} {
		if status := rawStatus(t, base, "GET "+path+"?table=items&offset=-1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); status != 401 && status != 404 {
			t.Errorf("%s without a token: status %d", path, status)
		}
	}
}

func unsigned(t *testing.T, claims jwt.MapClaims) string {
	t.Helper()
	text, err := jwt.NewWithClaims(jwt.SigningMethodNone, claims).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// rawStatus sends bytes and returns the status of the answer, 0 if there is none.
func rawStatus(t *testing.T, base, request string) int {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		return 0
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// TestRequestsThatNobodyShouldSend sends what is wrong, too large, or not what it seems, and sees that a good request is still answered.
func TestRequestsThatNobodyShouldSend(t *testing.T) {
	s := stack.Start(t, items)
	s.Gateway.LongPoll, s.Gateway.WriteWithin = 2*time.Second, time.Second
	base, _ := s.StartGateway()
	first := await(t, base, values("table", "items", "offset", "-1"))
	handle := first.header.Get("Electric-Handle")
	for name, c := range map[string]struct {
		request string
		want    []int
	}{
		"a large header":      {"GET /v1/shape?table=items&offset=-1 HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 200<<10) + "\r\n\r\n", []int{431, 0}},
		"a large query":       {"GET /v1/shape?table=items&offset=-1&where=" + strings.Repeat("x", 200<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", []int{431, 0}},
		"a clause of 70 KiB":  {"GET /v1/shape?table=items&offset=-1&where=" + strings.Repeat("x", 70<<10) + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", []int{400}},
		"many parameters":     {"GET /v1/shape?table=items&offset=-1&" + strings.Repeat("a=&", 20_000) + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", []int{200, 400}},
		"a bad escape":        {"GET /v1/shape?table=%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", []int{400}},
		"a semicolon":         {"GET /v1/shape?table=items;offset=-1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", []int{400}},
		"a header injected":   {"GET /v1/shape?table=items&offset=0_0&handle=a%0d%0aSet-Cookie:x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", []int{409}},
		"an origin injected":  {"GET /v1/health HTTP/1.1\r\nHost: x\r\nOrigin: a\rb\r\nConnection: close\r\n\r\n", []int{400}},
		"another shape's":     {"GET /v1/shape?table=items&where=id%3D1&offset=0_0&handle=" + handle + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", []int{409}},
		"a handle of nobody":  {"GET /v1/shape?table=items&offset=5_0&handle=x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", []int{409}},
		"an offset too far":   {"GET /v1/shape?table=items&offset=18446744073709551615_5&handle=" + handle + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", []int{400}},
		"a chunk too far":     {"GET /v1/shape?table=items&offset=0_999999999&handle=" + handle + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", []int{200}},
		"another method":      {"PATCH /v1/shape?table=items&offset=-1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", []int{405}},
		"a deletion":          {"DELETE /v1/shape?table=items HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", []int{405}},
		"a body that is none": {"POST /v1/shape?table=items&offset=-1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\n[1]", []int{400}},
		"a body too large":    {"POST /v1/shape?table=items&offset=-1 HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\nConnection: close\r\n\r\n" + strings.Repeat(" ", 9_000_000), []int{413, 0}},
		"an unknown path":     {"GET /v1/shapes HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", []int{404}},
		"a cursor too large":  {"GET /v1/shape?table=items&offset=0_0&cursor=99999999999999999999&handle=" + handle + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", []int{200}},
	} {
		got := rawStatus(t, base, c.request)
		ok := false
		for _, want := range c.want {
			ok = ok || got == want
		}
		if !ok {
			t.Errorf("%s: status %d, want %v", name, got, c.want)
		}
	}
	// Those that send nothing, and those that read nothing, are in nobody's way.
	for range 200 {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "GET /v1/shape?table=items&offset=0_inf&live=true&live_sse=true&handle=%s HTTP/1.1\r\nHost: x\r\n\r\n", handle); err != nil {
			t.Fatal(err)
		}
	}
	s.Exec(`UPDATE items SET title = repeat('x', 10000)`)
	r := newReader(base, values("table", "items"), false)
	for !r.live {
		if err := r.step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.rows) != 40 {
		t.Errorf("a good reader has %d rows", len(r.rows))
	}
	r2 := mustGet(t, base, values("table", "items", "offset", "-1", "where", "1 x 1"))
	if want := `{"message":"Invalid request","errors":{"where":["At location 17: syntax error at or near \"x\""]}}`; string(r2.body) != want {
		t.Errorf("a clause that is none: %s", r2.body)
	}
}

// TestClientsThatTakeNothingHoldLittle has clients ask for another large answer each, and read none of them. Others are asked to come later, until
// those are dropped.
func TestClientsThatTakeNothingHoldLittle(t *testing.T) {
	s := stack.Start(t, items)
	s.Exec("INSERT INTO items SELECT i, 'ann', repeat('x', 10000) FROM generate_series(100, 2500) i")
	s.Gateway.ChunkBytes, s.Gateway.SendBytes, s.Gateway.WriteWithin = 8<<20, 30<<20, 15*time.Second
	base, _ := s.StartGateway()
	q := values("table", "items", "offset", "-1")
	handle := await(t, base, q).header.Get("Electric-Handle")
	other := await(t, base, values("table", "items", "offset", "now", "where", "id > 0")).header.Get("Electric-Handle")
	var conns []net.Conn
	for i := range 6 { // three chunks of this shape, and of another
		q.Set("offset", []string{"-1", "0_0", "0_1"}[i%3])
		if q.Set("handle", handle); i >= 3 {
			q.Set("where", "id > 0")
			q.Set("handle", other)
		}
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil { //nolint:errcheck // it is what tcp gives
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(conn, "GET /v1/shape?%s HTTP/1.1\r\nHost: x\r\n\r\n", q.Encode()); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	refused := 0
	for _, conn := range conns {
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReaderSize(conn, 16).ReadString('\n')
		if err == nil && strings.Contains(line, " 503 ") {
			refused++
		}
	}
	if refused == 0 || refused == len(conns) {
		t.Errorf("%d of %d clients were asked to come later", refused, len(conns))
	}
	for _, q := range []url.Values{values("table", "items", "offset", "-1"), values("table", "items", "offset", "-1", "where", "id > 0")} {
		if r := await(t, base, q); r.status != http.StatusOK || len(r.body) < 8<<20 {
			t.Errorf("a good client gets %d bytes, status %d", len(r.body), r.status)
		}
	}
}
