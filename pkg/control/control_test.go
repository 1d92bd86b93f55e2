package control_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
)

// Apps in any language read these answers: names and forms are a contract.
func TestAnswersAreStableJSON(t *testing.T) {
	for _, c := range []struct {
		value any
		want  string
	}{
		{control.CreateRequest{Table: "tasks", Columns: []string{"id"}, Where: "done = $1", Params: []*string{new("f"), nil}}, `{"table":"tasks","columns":["id"],"where":"done = $1","params":["f",null]}`},
		{control.CreateRequest{Table: "tasks"}, `{"table":"tasks"}`},
		{control.ShapeRequest{Shape: "h"}, `{"shape":"h"}`},
		{control.ListRequest{After: "a", Limit: 5}, `{"after":"a","limit":5}`},
		{control.ListResponse{Shapes: []control.Shape{}, More: true}, `{"shapes":[],"more":true}`},
		{
			control.Shape{
				ID: "293c2adc97e15aa8", Handle: "293c2adc97e15aa8-x", Partition: 7, State: control.StateLive, Schema: "public", Table: "tasks",
				Columns: []control.Column{{Name: "id", Type: 20, TypeName: "bigint", Key: true}}, HasKey: true, WriteUnit: control.WriteUnit,
				Created: time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC), Offset: change.Offset{LSN: 26800584, Op: 4}, Applied: 0x198F1C8, LagBytes: 1, Rows: 2, LogBytes: 3,
			},
			`{"id":"293c2adc97e15aa8","handle":"293c2adc97e15aa8-x","partition":7,"state":"live","schema":"public","table":"tasks",` +
				`"columns":[{"name":"id","type":20,"type_name":"bigint","key":true}],"has_key":true,"write_unit":"txn_fragment",` +
				`"created":"2024-05-06T07:08:09Z","offset":"26800584_4","lag_bytes":1,"rows":2,"log_bytes":3,"snapshot_rows":0,"generation":0,"since_bytes":0,"applied":"0/198F1C8"}`,
		},
		{control.Check{Problem: &control.Problem{Field: "where", Position: 3, Message: "no", Hint: "so", Code: "400"}}, `{"problem":{"field":"where","position":3,"message":"no","hint":"so","code":"400"},"has_key":false}`},
		{control.Check{Schema: "public", Table: "tasks", HasKey: true, Where: "true", Reads: []string{"public.projects"}, Handle: "h"}, `{"schema":"public","table":"tasks","has_key":true,"where":"true","reads":["public.projects"],"handle":"h"}`},
		{control.ExplainRequest{Table: "tasks", Key: map[string]string{"id": "7"}, Limit: 5}, `{"table":"tasks","key":{"id":"7"},"limit":5}`},
		{
			control.Explanation{Schema: "public", Table: "tasks", Found: true, At: 0x1F, Row: []control.Cell{{Column: "id", Value: new("7")}, {Column: "title"}}, In: []control.RowMembership{}, Next: "a"},
			`{"schema":"public","table":"tasks","found":true,"row":[{"column":"id","value":"7"},{"column":"title","value":null}],"in":[],"next":"a","at":"0/1F"}`,
		},
		{
			control.Term{Truth: control.TruthFalse, Join: "NOT", Args: []control.Term{{
				Truth: control.TruthTrue, SQL: "a IN (…)", Cells: []control.Cell{{Column: "a", Value: new("x"), Cut: true}},
				Test: &control.SetTest{Schema: "public", Table: "b", Columns: []string{"c"}, Candidates: []control.Candidate{{Key: []control.Cell{}, Why: control.Term{Truth: control.TruthUnknown, SQL: "d"}}}, More: true},
			}}},
			`{"truth":"false","join":"NOT","args":[{"truth":"true","sql":"a IN (…)","cells":[{"column":"a","value":"x","cut":true}],` +
				`"test":{"schema":"public","table":"b","columns":["c"],"candidates":[{"key":[],"why":{"truth":"unknown","sql":"d"}}],"more":true}}]}`,
		},
		{
			control.Status{
				Source: "main", Version: "1", Partitions: 8, Publication: "p", Slot: "s", Shapes: map[control.State]int{control.StateLive: 1},
				ChangeLSN: 0x1F, AppliedLSN: 0x1E, SlotConfirmed: 0x100000001,
				Down: []control.PartitionDown{{Partition: 1, Since: time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC), Reason: "full"}},
			},
			`{"source":"main","version":"1","partitions":8,"publication":"p","slot":"s","shapes":{"live":1},"change_messages":0,"change_seq":0,"change_bytes":0,"unread":0,"lag_bytes":0,"lag_seconds":0,` +
				`"down":[{"partition":1,"since":"2024-05-06T07:08:09Z","reason":"full"}],"slot_active":false,"slot_lag_bytes":0,"slot_safe_bytes":0,` +
				`"change_lsn":"0/1F","applied_lsn":"0/1E","slot_confirmed":"1/1"}`,
		},
	} {
		got, err := json.Marshal(c.value)
		if err != nil || string(got) != c.want {
			t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
		}
		back := reflect.New(reflect.TypeOf(c.value))
		if err := json.Unmarshal(got, back.Interface()); err != nil || !reflect.DeepEqual(back.Elem().Interface(), c.value) {
			t.Errorf("%s is read as %+v, %v", got, back.Elem(), err)
		}
	}
}
