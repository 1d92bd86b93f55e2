package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/pkg/change"
)

func TestOffsetsAreReadAndOrdered(t *testing.T) {
	for text, want := range map[string]string{
		"-1": "-1", "-1_0": "-1", "now": "now", "0_0": "0_0", "0_inf": "0_inf", "007_01": "7_1",
		"18446744073709551615_18446744073709551614": "18446744073709551615_18446744073709551614",
	} {
		o, ok := ParseOffset(text)
		if !ok || o.String() != want {
			t.Errorf("%s is read as %s (%v), want %s", text, o, ok, want)
		}
	}
	for _, text := range []string{"", "10", "1_2_3", "0_-1", "-1_1", "-2_0", "1_", "_1", "1_x", "1_INF", "+1_0", "18446744073709551616_0", "1_18446744073709551616", " 1_0", "1_0 "} {
		if o, ok := ParseOffset(text); ok {
			t.Errorf("%q is read as %s", text, o)
		}
	}
	order := []string{"-1", "0_0", "0_1", "0_inf", "9_0", "10_0", "10_2", "10_inf", "9223372036854775808_0"}
	for i := range order {
		for j := range order {
			a, _ := ParseOffset(order[i])
			b, _ := ParseOffset(order[j])
			if got := a.Compare(b); (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%s and %s compare as %d", a, b, got)
			}
		}
	}
	if got := Behind(change.Offset{}).String(); got != "0_inf" {
		t.Errorf("behind a snapshot is %s", got)
	}
}

func TestCursorsGoForward(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(rapid.Int64Range(1_600_000_000, 4_000_000_000).Draw(t, "now"), 0)
		asked := rapid.Int64Range(-5, 1<<61).Draw(t, "asked")
		next, err := strconv.ParseInt(Cursor(now, 20*time.Second, strconv.FormatInt(asked, 10)), 10, 64)
		if err != nil || next <= asked {
			t.Fatalf("%d leads to %d (%v)", asked, next, err)
		}
	})
	now := time.Date(2026, 1, 1, 0, 0, 3, 0, time.UTC)
	if a, b := Cursor(now, 20*time.Second, ""), Cursor(now.Add(5*time.Second), 20*time.Second, "x"); a != b {
		t.Errorf("requests that wait together have the cursors %s and %s", a, b)
	}
	if got := Cursor(now, 0, "5"); got != "0" {
		t.Errorf("without waiting the cursor is %s", got)
	}
}

func TestNamesAreReadAsSQLWritesThem(t *testing.T) {
	for text, want := range map[string][2]string{
		`items`: {"public", "items"}, `App.Items`: {"app", "items"}, `"App"."my ""table"""`: {"App", `my "table"`}, `é$1`: {"public", "é$1"},
		`"a.b"`: {"public", "a.b"},
	} {
		schema, name, err := Table(text)
		if err != nil || schema != want[0] || name != want[1] {
			t.Errorf("%s is read as %q.%q (%v)", text, schema, name, err)
		}
	}
	for text, want := range map[string]string{
		`""`: "Invalid zero-length delimited identifier", `a.`: "Invalid zero-length delimited identifier", `a b`: "special characters",
		`a;drop table x`: "special characters", `"a`: "unescaped quote", `"a"b"`: "unescaped quote", `a.b.c`: "too many delimiters",
		strings.Repeat("a", 64): "too long", "a\xff": "special characters", "1a": "special characters", "\"a\x00\"": "special characters",
	} {
		if _, _, err := Table(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	columns, err := Columns(`"id","has,comma","has""quote"`)
	if err != nil || !cmp.Equal(columns, []string{"id", "has,comma", `has"quote`}) {
		t.Errorf("columns are %q (%v)", columns, err)
	}
}

func TestParametersAreBoundWithoutGaps(t *testing.T) {
	given := numbered{1: "a", 2: "b", 3: "c"}
	for _, c := range []struct{ where, want string }{
		{"x = $1 AND y = $2", "x = $1 AND y = $2"},
		{"y = $3 OR y = $3", "y = $1 OR y = $1"},
		{"a = '$2' AND b = $3 AND \"$1\" = $2 -- $1", "a = '$2' AND b = $2 AND \"$1\" = $1 -- $1"},
		{"a = 'it''s $1' /* $1 /* $2 */ $3 */ AND b = $2", "a = 'it''s $1' /* $1 /* $2 */ $3 */ AND b = $1"},
		{`a = E'\'$1' AND b = $3`, `a = E'\'$1' AND b = $1`},
		{"a = $q$ $1 $q$ AND b = $2", "a = $q$ $1 $q$ AND b = $1"},
		{"true = true", "true = true"},
	} {
		got, values, err := bind(c.where, given)
		if err != nil || got != c.want {
			t.Errorf("%s is bound as %s (%v), want %s", c.where, got, err, c.want)
		}
		if n := len(references(got)); len(values) > n {
			t.Errorf("%s: %d values for %d references", c.where, len(values), n)
		}
	}
	if _, _, err := bind("x = $2", numbered{1: "a"}); err == nil || !strings.Contains(err.Error(), "At location 4: parameter $2 was not provided") {
		t.Errorf("a missing parameter: %v", err)
	}
	if _, _, err := bind("x = $3", numbered{2: "a"}); !errors.Is(err, errParamSequence) {
		t.Errorf("a gap: %v", err)
	}
	if _, values, err := bind("x = $3", numbered{1: "a", 3: "c"}); err != nil || *values[0] != "c" {
		t.Errorf("a gap before a parameter that is used: %v", err)
	}
}

func TestRequestsAreCheckedInOrder(t *testing.T) {
	for query, want := range map[string]string{
		"":                                  `{"message":"Invalid request","errors":{"offset":["can't be blank"]}}`,
		"offset=&replica=x":                 `{"message":"Invalid request","errors":{"offset":["can't be blank"],"replica":["is invalid"]}}`,
		"offset=10":                         `{"message":"Invalid request","errors":{"offset":["has invalid format"]}}`,
		"offset=0_0":                        `{"message":"Invalid request","errors":{"handle":["can't be blank when offset != -1"]}}`,
		"offset=-1&live":                    `{"message":"Invalid request","errors":{"live":["can't be true when offset == -1"]}}`,
		"offset=now&live=1":                 `{"message":"Invalid request","errors":{"live":["can't be true when offset is 'now'"]}}`,
		"offset=-1&live_sse=1":              `{"message":"Invalid request","errors":{"live_sse":["can't be true unless live is also true"]}}`,
		"offset=-1":                         `{"message":"Invalid request","errors":{"table":["can't be blank"]}}`,
		"offset=-1&table=t&where=a='%ff'":   `{"message":"Invalid request","errors":{"where":["is not UTF-8 text"]}}`,
		"offset=-1&table=t&params[1]=%ff":   `{"message":"Invalid request","errors":{"params":["are not UTF-8 text"]}}`,
		"offset=-1&params[x]=1":             `{"message":"Invalid request","errors":{"params":["Parameters can only use numbers as keys"]}}`,
		"offset=-1&table=t&subset__limit=0": `{"message":"Invalid request","errors":{"subset":{"limit":["must be greater than 0"]}}}`,
		"offset=-1&table=t&subset__limit=1": `{"message":"Invalid request","errors":{"subset":{"order_by":["order_by is required when limit or offset is present"]}}}`,
		"offset=-1&table=t&subset__where=a=$1&subset__params=[":    `{"message":"Invalid request","errors":{"subset":{"params":["params must be valid JSON"]}}}`,
		"offset=-1&table=t&subset__where=a%3D%241&subset__params=": `{"message":"Invalid request","errors":{"subset":{"where":["At location 2: parameter $1 was not provided"]}}}`,
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		_, refused := Parse(Values{q}, nil)
		if refused == nil {
			t.Errorf("%s is accepted", query)
			continue
		}
		got, err := json.Marshal(refused.Body)
		if err != nil || string(got) != want {
			t.Errorf("%s: %s (%v), want %s", query, got, err, want)
		}
	}
	q, err := url.ParseQuery("offset=0_inf&handle=a-b&live&live_sse=true&table=a&table=Tasks&columns=id,title&where=&cursor=&expired_handle=x&source_id=y&subset__where=&foo=bar")
	if err != nil {
		t.Fatal(err)
	}
	r, refused := Parse(Values{q}, nil)
	if refused != nil {
		t.Fatal(refused)
	}
	if r.Table != "tasks" || r.Where != "" || r.Subset == nil || r.Live {
		t.Errorf("it is read as %+v", r)
	}
}

func TestBodiesAreReadAsSubsets(t *testing.T) {
	v := Values{url.Values{"table": {"t"}, "offset": {"-1"}}}
	in, refused := ParseBody([]byte(`{"where":"id > $1","params":{"1":9007199254740993},"limit":5,"order_by":"id desc","cursor":"7"}`), v)
	if refused != nil {
		t.Fatal(refused)
	}
	r, refused := Parse(v, in)
	if refused != nil {
		t.Fatal(refused)
	}
	if r.Table != "t" || r.Cursor != "7" || r.Subset.Limit != 5 || *r.Subset.Params[0] != "9007199254740993" || r.Subset.Where != "id > $1" || r.Where != "" {
		t.Errorf("it is read as %+v, subset %+v", r, r.Subset)
	}
	for body, want := range map[string]string{"{": "Invalid JSON", "[]": "must be a JSON object", "null": "must be a JSON object", `{"subset":1}`: "invalid"} {
		if _, refused := ParseBody([]byte(body), v); refused == nil || !strings.Contains(refused.Error(), want) {
			t.Errorf("%s: %v", body, refused)
		}
	}
	if in, refused := ParseBody(nil, v); in != nil || refused != nil {
		t.Errorf("an empty body: %v %v", in, refused)
	}
	v = Values{url.Values{"offset": {"-1"}}}
	if _, refused := ParseBody([]byte(`{"table":"u","params[1]":"ann","subset":{"limit":5},"where":"owner = $1"}`), v); refused != nil || v.get("table") != "u" || v.get("where") != "owner = $1" {
		t.Errorf("of a URL without a table: %v, %v", v, refused)
	}
}

// TestABodyDoesNotSayWhichShapeTheURLMeans: a proxy says so in the URL, and passes on the body of a client.
func TestABodyDoesNotSayWhichShapeTheURLMeans(t *testing.T) {
	for _, body := range []string{
		`{"table":"u"}`, `{"where_expr":"true","table":"u"}`, `{"params[1]":"bob"}`, `{"params[2]":"bob"}`, `{"subset":{},"params":{"1":"bob"}}`,
		`{"subset":{},"where":"true"}`, `{"columns":"id,secret"}`, `{"queryable_columns":"secret"}`, `{"secret":"x"}`,
	} {
		v := Values{url.Values{"table": {"t"}, "where": {"owner = $1"}, "params[1]": {"ann"}, "offset": {"-1"}}}
		if _, refused := ParseBody([]byte(body), v); refused == nil || v.get("table") != "t" || v.get("where") != "owner = $1" || v.get("params[1]") != "ann" {
			t.Errorf("%s: %v, %v", body, v, refused)
		}
	}
}

func TestAConditionCannotBeEscaped(t *testing.T) {
	for _, where := range []string{
		"true) OR (true", "true; DROP TABLE x", "true GROUP BY 1", "true UNION SELECT 1", "true /*", "1=1) --", "true LIMIT 1", "true FOR UPDATE", "$q$",
		// What is no text becomes the replacement character on its way to the consumer, and two quotes that differed are the same.
		"title = $\xff$ $\xfe$ ) OR (true) OR (title = $\xfe$ $\xff$", "title = 'a'\x00) OR (true",
	} {
		d := Definition{Where: where}
		if err := d.Narrow(&Clauses{}, "owner = $1", []string{"ann"}); err == nil {
			t.Errorf("%s becomes %s", where, d.Where)
		}
	}
	a := "1"
	d := Definition{Where: "id > $1 -- all", Params: []*string{&a}}
	if err := d.Narrow(&Clauses{}, "owner = $1 OR public", []string{"ann"}); err != nil {
		t.Fatal(err)
	}
	if want := "(id > $1 -- all\n) AND (owner = $2 OR public\n)"; d.Where != want || *d.Params[1] != "ann" {
		t.Errorf("it becomes %s", d.Where)
	}
}

func TestMessages(t *testing.T) {
	e := NewEncoder("public", `we"i.rd/`, []string{"v", "b", "a"}, []string{"a", "b"})
	row := values{[]byte("x\n\"\\\x01\xff"), nil, []byte("1/2")}
	got := string(e.Snapshot(nil, row))
	want := `{"key":"\"public\".\"we\"\"i..rd//\"/\"1//2\"/_","value":{"v":"x\n\"\\\u0001\ufffd","b":null,"a":"1/2"},"headers":{"operation":"insert","relation":["public","we\"i.rd/"]}}`
	if got != want {
		t.Errorf("a row is\n%s, want\n%s", got, want)
	}
	place := Place{Offset: change.Offset{LSN: 1 << 63, Op: 4}, XID: 7}
	got = string(Finish(e.Change(nil, "delete", key{nil, []byte("1/2")}, place), true))
	want = `{"key":"\"public\".\"we\"\"i..rd//\"/\"1//2\"/_","value":{"b":null,"a":"1/2"},"headers":{"operation":"delete","relation":["public","we\"i.rd/"],"txids":[7],"lsn":"9223372036854775808","op_position":4,"last":true}}`
	if got != want {
		t.Errorf("a delete is\n%s, want\n%s", got, want)
	}
	s, err := change.ParseSnapshot("10:20:12,15")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(SnapshotEnd(nil, s)); got != `{"headers":{"control":"snapshot-end","xmin":"10","xmax":"20","xip_list":["12","15"]}}` {
		t.Errorf("a snapshot's end is %s", got)
	}
	if got := string(UpToDate(nil, 5, []change.XID{1, 2})); got != `{"headers":{"control":"up-to-date","global_last_seen_lsn":"5","txids":[1,2]}}` {
		t.Errorf("up-to-date is %s", got)
	}
}

// What is written can be read back, whatever the values.
func TestAnyValueIsJSON(t *testing.T) {
	e := NewEncoder("s", "t", []string{"id", "v"}, []string{"id"})
	rapid.Check(t, func(t *rapid.T) {
		id, v := rapid.SliceOf(rapid.Byte()).Draw(t, "id"), rapid.String().Draw(t, "v")
		var m struct {
			Key   string            `json:"key"`
			Value map[string]string `json:"value"`
		}
		if err := json.Unmarshal(e.Snapshot(nil, values{append([]byte{}, id...), []byte(v)}), &m); err != nil {
			t.Fatal(err)
		}
		if m.Value["v"] != strings.ToValidUTF8(v, "\ufffd") {
			t.Fatalf("%q is %q", v, m.Value["v"])
		}
	})
}

func TestSchemaOfEachType(t *testing.T) {
	for typeName, want := range map[string]string{
		"bigint": `{"type":"int8"}`, "integer[]": `{"type":"int4","dims":1}`, "character varying(20)": `{"type":"varchar","max_length":20}`,
		"character(5)": `{"type":"bpchar","length":5}`, "timestamp(3) with time zone": `{"type":"timestamptz","precision":3}`,
		"numeric(10,2)": `{"type":"numeric","precision":10,"scale":2}`, `app."Mood"`: `{"type":"Mood"}`, "mood": `{"type":"mood"}`,
		"interval day to second": `{"type":"interval","fields":"DAY TO SECOND"}`, "bit(3)": `{"type":"bit","length":3}`,
	} {
		mod := map[string]int32{"character varying(20)": 24, "character(5)": 9, "timestamp(3) with time zone": 3, "numeric(10,2)": 10<<16 | 2 + 4, "interval day to second": 7<<16 | 0xffff, "bit(3)": 3}
		m, ok := mod[typeName]
		if !ok {
			m = -1
		}
		got, err := Schema([]Column{{Name: "c", TypeName: typeName, TypeMod: m, Key: -1}})
		if err != nil || got != `{"c":`+want+`}` {
			t.Errorf("%s is %s (%v), want %s", typeName, got, err, want)
		}
	}
	got, err := Schema([]Column{{Name: "é\r\n😀", TypeName: "uuid", TypeMod: -1, Key: 0, NotNull: true}})
	if err != nil || got != `{"\u00e9\r\n\ud83d\ude00":{"type":"uuid","pk_index":0,"not_null":true}}` {
		t.Errorf("a strange name is %s (%v)", got, err)
	}
}

type values [][]byte

func (v values) Len() int           { return len(v) }
func (v values) At(i int) []byte    { return v[i] }
func (v values) Unchanged(int) bool { return false }
func (v values) IsKey() bool        { return false }

type key [][]byte

func (v key) Len() int           { return len(v) }
func (v key) At(i int) []byte    { return v[i] }
func (v key) Unchanged(int) bool { return false }
func (v key) IsKey() bool        { return true }

// What is remembered of clauses is what they say, and bounded.
func TestClausesAreRememberedWithinBounds(t *testing.T) {
	var known Clauses
	ask := func(where string) ([][2]string, error) {
		d := Definition{Schema: "public", Table: "tasks", Where: where}
		return d.Inner(&known)
	}
	for range 3 {
		got, err := ask("project IN (SELECT id FROM projects WHERE owner IN (SELECT id FROM hr.people))")
		if want := [][2]string{{"public", "projects"}, {"hr", "people"}}; err != nil || !slices.Equal(got, want) {
			t.Fatalf("%v, %v", got, err)
		}
		if got, err := ask("NOT done"); err != nil || len(got) > 0 {
			t.Fatalf("%v, %v", got, err)
		}
		if _, err := ask("NOT done) OR (true"); err == nil {
			t.Fatal("half of a clause is taken for one")
		}
	}
	if len(known.inner) != 2 {
		t.Errorf("%d clauses are remembered", len(known.inner))
	}
	for i := range 2000 {
		if _, err := ask(fmt.Sprintf("title = '%d%s'", i, strings.Repeat("x", 1000))); err != nil {
			t.Fatal(err)
		}
		size := 0
		for where := range known.inner {
			size += len(where)
		}
		if size > clausesBytes {
			t.Fatalf("%d bytes of clauses are remembered", size)
		}
	}
	if _, err := ask("title = '" + strings.Repeat("x", clauseBytes) + "'"); err != nil || slices.ContainsFunc(slices.Collect(maps.Keys(known.inner)), func(w string) bool { return len(w) > clauseBytes }) {
		t.Errorf("a long clause is remembered, %v", err)
	}
}
