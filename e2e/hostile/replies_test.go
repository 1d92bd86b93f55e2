package hostile

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// TestAnswersGoToInboxesOnly asks in the name of somebody who may do nothing but ask, for answers on subjects on which only the
// services may publish: an empty refusal on JetStream's own is an order to delete a stream, and on a stream's subjects any
// answer is a message of it. NATS asks nobody for a right to the reply subject of a request.
func TestAnswersGoToInboxesOnly(t *testing.T) {
	s := stack.Start(t, canarySchema+`CREATE TABLE tasks (id int PRIMARY KEY)`)
	sh := s.Create(client.Definition{Table: "tasks"})
	s.Verify(sh)
	c, _ := startCanary(t, s)
	members, err := s.JS.KeyValue(t.Context(), s.Source.MemberBucket())
	if err != nil {
		t.Fatal(err)
	}
	consumers, err := members.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	info := sh.Info()
	heard := make(chan *nats.Msg, 1000)
	if _, err := s.NC.ChanSubscribe("elsewhere", heard); err != nil {
		t.Fatal(err)
	}
	ask := func(subject, body string) {
		t.Helper()
		for _, reply := range []string{
			"elsewhere",
			"$JS.API.STREAM.DELETE." + s.Source.VerdictStream(0),
			"$JS.API.STREAM.DELETE." + s.Source.ShapeStream(info.Partition),
			"$KV." + s.Source.ShapeBucket() + "." + info.ID,
			"$KV." + s.Source.ShapeBucket() + "._source",
			s.Source.CheckpointSubject(info.Partition),
			s.Source.LogSubject(info.Partition, sh.Handle()),
			s.Source.ControlSubject(),
		} {
			if err := s.NC.PublishRequest(subject, reply, []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
	}
	endpoints := []string{
		control.EndpointCreate, control.EndpointGet, control.EndpointList, control.EndpointDelete, control.EndpointFold,
		control.EndpointTop, control.EndpointStatus, control.EndpointCheck, control.EndpointExplain,
	}
	for _, e := range endpoints {
		ask(s.Source.ControlPlane()+"."+e, `{"nonsense":1}`)
	}
	ask(s.Source.ControlPlane()+"."+control.EndpointGet, `{"shape":"`+info.ID+`"}`)
	ask(s.Source.ControlPlane()+"."+control.EndpointStatus, `{}`)
	ask(s.Source.CostsSubject(), "")
	for _, verb := range []string{"PING", "INFO", "STATS"} {
		ask("$SRV."+verb, "")
	}
	for _, k := range consumers {
		e, err := members.Get(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		ask(s.Source.MemberSubject(strings.Fields(string(e.Value()))[1]), "") // its value is a name and an incarnation
	}
	for _, e := range endpoints { // whoever asks as everybody does is answered, behind those
		if _, err := s.NC.Request(s.Source.ControlPlane()+"."+e, []byte(`{"nonsense":1}`), 10*time.Second); err != nil {
			t.Errorf("%s: %v", e, err)
		}
	}
	if len(heard) != 0 {
		m := <-heard
		t.Errorf("%d answers went elsewhere, the first of them %v %.100s", len(heard)+1, m.Header, m.Data)
	}
	s.Exec("INSERT INTO tasks VALUES (1)")
	s.Verify(sh)
	c.beat(s)
	c.check(t, "requests that want their answers elsewhere")
	for _, stream := range []string{s.Source.VerdictStream(0), s.Source.ShapeStream(info.Partition)} {
		if _, err := s.JS.Stream(t.Context(), stream); err != nil {
			t.Errorf("stream %s: %v", stream, err)
		}
	}
	if now, err := s.Client.Get(t.Context(), info.ID); err != nil || now.Handle != sh.Handle() {
		t.Errorf("the shape is not what it was: %+v, %v", now, err)
	}
}
