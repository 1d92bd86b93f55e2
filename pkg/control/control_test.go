package control_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
)

func TestCreatedAt(t *testing.T) {
	want := time.Date(2024, 5, 6, 7, 8, 9, 123456000, time.UTC)
	if got := (control.Shape{Created: want.Format(time.RFC3339Nano)}).CreatedAt(); !got.Equal(want) {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := (control.Shape{Created: "yesterday"}).CreatedAt(); !got.IsZero() {
		t.Errorf("got %s, want the zero time", got)
	}
}

// Apps in any language read these answers: names and forms are a contract.
func TestAnswersAreStableJSON(t *testing.T) {
	for _, c := range []struct {
		value any
		want  string
	}{
		{control.CreateRequest{Table: "tasks", Columns: []string{"id"}, Where: "done = $1", Params: []string{"f"}}, `{"table":"tasks","columns":["id"],"where":"done = $1","params":["f"]}`},
		{control.CreateRequest{Table: "tasks"}, `{"table":"tasks"}`},
		{control.ShapeRequest{Shape: "h"}, `{"shape":"h"}`},
		{control.ListRequest{After: "a", Limit: 5}, `{"after":"a","limit":5}`},
		{control.ListResponse{Shapes: []control.Shape{}, More: true}, `{"shapes":[],"more":true}`},
		{
			control.Shape{
				ID: "293c2adc97e15aa8", Handle: "293c2adc97e15aa8-x", Partition: 7, State: control.StateLive, Schema: "public", Table: "tasks",
				Columns: []control.Column{{Name: "id", Type: 20, TypeName: "bigint", Key: true}}, HasKey: true, WriteUnit: control.WriteUnit,
				Created: "2024-05-06T07:08:09Z", Offset: change.Offset{LSN: 26800584, Op: 4}, Applied: "0/198F1C8", LagBytes: 1, Rows: 2, LogBytes: 3,
			},
			`{"id":"293c2adc97e15aa8","handle":"293c2adc97e15aa8-x","partition":7,"state":"live","schema":"public","table":"tasks",` +
				`"columns":[{"name":"id","type":20,"type_name":"bigint","key":true}],"has_key":true,"write_unit":"txn_fragment",` +
				`"created":"2024-05-06T07:08:09Z","offset":"26800584_4","applied":"0/198F1C8","lag_bytes":1,"rows":2,"log_bytes":3,"snapshot_rows":0}`,
		},
	} {
		got, err := json.Marshal(c.value)
		if err != nil || string(got) != c.want {
			t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
		}
	}
}
