package hostile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/micro"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/control"
)

// request is one that must be refused in words, and nothing else.
type request struct {
	name     string
	endpoint string
	body     string
	code     string
	says     string // what the refusal must name
}

// repeated joins n conditions by OR.
func repeated(n int, condition string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(condition, i)
	}
	return strings.Join(all, " OR ")
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

// refused are requests of every kind that somebody might send by mistake or to do harm.
func refused() []request {
	long := strings.Repeat("a", 4000)
	return []request{
		{"an id that is no subject", control.EndpointGet, `{"shape":` + quoted(long) + `}`, control.CodeBadRequest, "16 hex digits"},
		{"a handle of 4 KB", control.EndpointGet, `{"shape":"0123456789abcdef-` + long + `"}`, control.CodeBadRequest, "handle"},
		{"an id of 4 KB to delete", control.EndpointDelete, `{"shape":` + quoted(long) + `}`, control.CodeBadRequest, "16 hex digits"},
		{"a wildcard for an id", control.EndpointDelete, `{"shape":">"}`, control.CodeBadRequest, "16 hex digits"},
		{"the key of the source's record", control.EndpointDelete, `{"shape":"_source"}`, control.CodeBadRequest, "16 hex digits"},
		{"no id", control.EndpointGet, `{}`, control.CodeBadRequest, "shape"},
		{"no request", control.EndpointGet, ``, control.CodeBadRequest, "shape"},
		{"a page after 4 KB", control.EndpointList, `{"after":` + quoted(long) + `}`, control.CodeBadRequest, "after"},
		{"a page of less than nothing", control.EndpointList, `{"limit":-1}`, control.CodeBadRequest, "limit"},
		{"a page of too many", control.EndpointList, `{"limit":100000}`, control.CodeBadRequest, "limit"},
		{"a limit that is no number", control.EndpointList, `{"limit":"all"}`, control.CodeBadRequest, "limit"},
		{"a table's name of 4 KB", control.EndpointCreate, `{"table":` + quoted(long) + `}`, control.CodeBadRequest, "63 bytes"},
		{"a table's name with a zero byte", control.EndpointCreate, `{"table":"\"a\u0000b\""}`, control.CodeBadRequest, "zero byte"},
		{"a column's name with a zero byte", control.EndpointCreate, `{"table":"canary","columns":["id","a\u0000b"]}`, control.CodeBadRequest, "zero byte"},
		{"a column's name of 4 KB", control.EndpointCreate, `{"table":"canary","columns":["id",` + quoted(long) + `]}`, control.CodeBadRequest, "63 bytes"},
		{"a column without a name", control.EndpointCreate, `{"table":"canary","columns":["id",""]}`, control.CodeBadRequest, "column"},
		{"more columns than a table can have", control.EndpointCreate, `{"table":"canary","columns":["id"` + strings.Repeat(`,"id"`, 2000) + `]}`, control.CodeBadRequest, "columns"},
		{"half of a character", control.EndpointCreate, `{"table":"canary","where":"id::text = '\ud800'"}`, control.CodeBadRequest, "where"},
		{"bytes that are no text", control.EndpointCreate, "{\"table\":\"canary\",\"where\":\"id::text = '\xff'\"}", control.CodeBadRequest, "UTF-8"},
		{"a key with a typing error", control.EndpointCreate, `{"table":"canary","wheer":"id = 1"}`, control.CodeBadRequest, "wheer"},
		{"a key in another case", control.EndpointCreate, `{"table":"canary","WHERE":"id = 1"}`, control.CodeBadRequest, "WHERE"},
		{"a key in two cases", control.EndpointCreate, `{"table":"canary","where":"id = 1","WHERE":"id = 2"}`, control.CodeBadRequest, "WHERE"},
		{"a key given twice", control.EndpointCreate, `{"table":"canary","where":"id = 1","where":"id = 2"}`, control.CodeBadRequest, "twice"},
		{"a clause that is null", control.EndpointCreate, `{"table":"canary","where":null}`, control.CodeBadRequest, "where"},
		{"columns that are null", control.EndpointCreate, `{"table":"canary","columns":null}`, control.CodeBadRequest, "columns"},
		{"a column that is null", control.EndpointCreate, `{"table":"canary","columns":["id",null]}`, control.CodeBadRequest, "columns"},
		{"parameters that are null", control.EndpointCreate, `{"table":"canary","where":"id = 1","params":null}`, control.CodeBadRequest, "params"},
		{"a parameter that is an object where a number is meant", control.EndpointCreate, `{"table":"canary","where":"id = $1","params":[{"id":1}]}`, control.CodeBadRequest, "$1"},
		{"a table that is a number", control.EndpointCreate, `{"table":7}`, control.CodeBadRequest, "table"},
		{"a clause that is an object", control.EndpointCreate, `{"table":"canary","where":{"id":1}}`, control.CodeBadRequest, "where"},
		{"an array", control.EndpointCreate, `["canary"]`, control.CodeBadRequest, "object"},
		{"null", control.EndpointCreate, `null`, control.CodeBadRequest, "object"},
		{"two requests in one", control.EndpointCreate, `{"table":"canary"} {"table":"canary"}`, control.CodeBadRequest, "behind"},
		{"half a request", control.EndpointCreate, `{"table":"canary"`, control.CodeBadRequest, "JSON"},
		{"nesting without end", control.EndpointCreate, strings.Repeat(`{"table":`, 5000) + strings.Repeat("}", 5000), control.CodeBadRequest, "JSON"},
		{"a key of 100 KB", control.EndpointCreate, `{"` + strings.Repeat("k", 100_000) + `":1}`, control.CodeBadRequest, "does not know"},
		{"a key for status", control.EndpointStatus, `{"shape":"x"}`, control.CodeBadRequest, "shape"},
		{"more than a request may have", control.EndpointCreate, `{"table":"canary","where":"` + strings.Repeat(" ", 300<<10) + `"}`, control.CodeBadRequest, "bytes"},
		{"parameters that nobody uses", control.EndpointCreate, `{"table":"canary","params":["` + strings.Repeat(`","`, 20000) + `"]}`, control.CodeBadRequest, "params"},
		{"SQL behind the clause", control.EndpointCreate, `{"table":"canary","where":"true) ; DROP TABLE canary --"}`, control.CodeBadRequest, "where clause"},
		{"thousands of documents", control.EndpointCreate, `{"table":"papers","where":` + quoted(repeated(3000, "j @> '[%d]'")) + `}`, control.CodeBadRequest, "too much work"},
		{"hundreds of patterns", control.EndpointCreate, `{"table":"papers","where":` + quoted(repeated(900, "body LIKE '%%a__%dxy%%'")) + `}`, control.CodeBadRequest, "too much work"},
		{"patterns without case", control.EndpointCreate, `{"table":"papers","where":` + quoted(repeated(1100, "lower(body) = '%d'")) + `}`, control.CodeBadRequest, "too much work"},
		{"a check of no table", control.EndpointCheck, `{}`, control.CodeBadRequest, "table"},
		{"a check with a typing error", control.EndpointCheck, `{"table":"canary","wheer":"id = 1"}`, control.CodeBadRequest, "wheer"},
		{"a row without a key", control.EndpointExplain, `{"table":"canary"}`, control.CodeBadRequest, "key"},
		{"a row whose key is a text", control.EndpointExplain, `{"table":"canary","key":"1"}`, control.CodeBadRequest, "key"},
		{"a row whose key has a null", control.EndpointExplain, `{"table":"canary","key":{"id":null}}`, control.CodeBadRequest, "key"},
		{"a row whose key has a number", control.EndpointExplain, `{"table":"canary","key":{"id":1}}`, control.CodeBadRequest, "key"},
		{"a row with a column twice", control.EndpointExplain, `{"table":"canary","key":{"id":"1","id":"2"}}`, control.CodeBadRequest, "twice"},
		{"a row with SQL in its key", control.EndpointExplain, `{"table":"canary","key":{"id":"1'; DROP TABLE canary; --"}}`, control.CodeBadRequest, "key"},
		{"a row with SQL in its column", control.EndpointExplain, `{"table":"canary","key":{"id\"=\"id":"1"}}`, control.CodeBadRequest, "columns id"},
		{"a row with a zero byte", control.EndpointExplain, `{"table":"canary","key":{"id":"1\u0000"}}`, control.CodeBadRequest, "bytes"},
		{"a row with 4 KB for a column", control.EndpointExplain, `{"table":"canary","key":{` + quoted(long) + `:"1"}}`, control.CodeBadRequest, "63 bytes"},
		{"a row after a subject", control.EndpointExplain, `{"table":"canary","key":{"id":"1"},"after":">"}`, control.CodeBadRequest, "after"},
		{"a row of the catalog", control.EndpointExplain, `{"table":"pg_catalog.pg_authid","key":{"oid":"10"}}`, control.CodeBadRequest, "pg_authid"},
		{"a table of the catalog", control.EndpointCreate, `{"table":"pg_catalog.pg_authid"}`, control.CodeBadRequest, "pg_authid"},
	}
}

// TestHostileRequestsAreRefusedAndDelayNobody sends what nobody should, while another shape gets a row every 100 ms.
func TestHostileRequestsAreRefusedAndDelayNobody(t *testing.T) {
	s := stack.Start(t, canarySchema+`CREATE TABLE papers (id int PRIMARY KEY, body text, j jsonb)`)
	c, _ := startCanary(t, s)
	for _, r := range refused() {
		t.Run(r.name, func(t *testing.T) {
			m, err := s.NC.Request(s.Source.ControlPlane()+"."+r.endpoint, []byte(r.body), 10*time.Second)
			if err != nil {
				t.Fatalf("%s: %v", r.endpoint, err)
			}
			code, text := m.Header.Get(micro.ErrorCodeHeader), m.Header.Get(micro.ErrorHeader)
			if code != r.code || !strings.Contains(text, r.says) {
				t.Errorf("%s: code %q, %q; want code %s and %q\nanswer %.200s", r.endpoint, code, text, r.code, r.says, m.Data)
			}
			if len(text) > 4<<10 {
				t.Errorf("the refusal has %d bytes", len(text))
			}
			c.beat(s)
			c.check(t, r.name)
		})
	}
}
