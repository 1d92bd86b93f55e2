package group

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// apart makes a group of as many stages of one shape each as there are places, on a main loop that does what it is asked.
func apart(t *testing.T, places ...changelog.Place) *group {
	t.Helper()
	if testing.Short() {
		t.Skip("needs JetStream; not in -short")
	}
	_, js := natstest.Conn(t)
	const source = topology.Source("apart")
	if err := source.EnsureShapeLogs(t.Context(), js, 1, topology.ShapeLogConfig{}); err != nil {
		t.Fatal(err)
	}
	writer, err := shapelog.NewPartition(&shapelog.Config{NATS: js.Conn(), JS: js, Source: source, WindowBytes: 1 << 20, Failpoint: failpoint.Never}, 0).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(writer.Close)
	s := outerCrowd(t, len(places))
	s.Cfg.Source, s.Ctx = source, t.Context()
	s.Calls = service.NewLoop(t.Context())
	go func() {
		for {
			select {
			case f := <-s.Calls.Calls():
				_ = f(t.Context())
			case <-t.Context().Done():
				return
			}
		}
	}()
	g := s.newGroup()
	for i, id := range slices.Sorted(maps.Keys(s.Live)) {
		f := s.Live[id]
		s.RemoveLive(f)
		f.Writer = writer
		st := g.addStage([]*follow.Follower{f}, places[i], nil)
		st.sets.Touched[0] = s.Selections.Of(st.sets.All[0].Name()).Leave()
	}
	return g
}

func members(st *stage) []string { return slices.Sorted(maps.Keys(st.members)) }

func TestStagesThatMeetBecomeOne(t *testing.T) {
	here, behind := changelog.Place{LSN: 100, Seq: 10}, changelog.Place{LSN: 90, Seq: 9}
	deferred := []reconcile.Txn{{LSN: 80, First: 7}}
	g := apart(t, here, here, behind, here, here)
	g.stages[1].creating["h1"] = &creation{}
	for _, st := range g.stages[3:] {
		st.stand(here, deferred)
	}
	g.stages[4].shared = true // others were told that the logs have all up to there
	united, err := g.unite(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	byFirst := func(a, b *stage) int { return slices.Compare(members(a), members(b)) }
	slices.SortFunc(united, byFirst)
	slices.SortFunc(g.stages, byFirst)
	var all [][]string
	for _, st := range g.stages {
		all = append(all, members(st))
	}
	if want := [][]string{{"h0", "h1"}, {"h2"}, {"h3", "h4"}}; !slices.EqualFunc(all, want, slices.Equal) || len(united) != 2 || united[0] != g.stages[0] || united[1] != g.stages[2] {
		t.Fatalf("the stages have the members %v, want %v; %d are united", all, want, len(united))
	}
	plain, left := united[0], united[1]
	if plain.place() != here || len(plain.Deferred) != 0 || plain.creating["h1"] == nil || plain.creating["h0"] != nil || plain.shared {
		t.Errorf("at %+v, deferred %v, shared %t, creating %v", plain.place(), plain.Deferred, plain.shared, plain.creating)
	}
	if left.known() != here.LSN || !left.shared || len(left.Deferred) != 1 {
		t.Errorf("with %v deferred its logs are known up to %s: others were told %s", left.Deferred, left.known(), here.LSN)
	}
	for _, st := range g.stages {
		for id := range st.members {
			if g.s.OwnerOf(id) != live.Owner(g) {
				t.Errorf("nobody has %s", id)
			}
		}
	}
	if united, err := g.unite(t.Context()); err != nil || len(united) != 0 {
		t.Errorf("once more: %d, %v", len(united), err)
	}
}

// Who must end, or goes to another group, is not given another stage on the way: what it selects from may be gone.
func TestStagesAreNotUnitedBesideAnEnd(t *testing.T) {
	here := changelog.Place{LSN: 100, Seq: 10}
	for name, interrupt := range map[string]func(g *group){
		"a member ends":                func(g *group) { _ = g.End(t.Context(), "h0", "it was deleted", true) },
		"another group has asked":      func(g *group) { g.into = g.s.newGroup() },
		"what it selects from is gone": func(g *group) { _ = g.End(t.Context(), "h1", "gone", true); g.s.Sets.Forget(innerHandle) },
	} {
		t.Run(name, func(t *testing.T) {
			g := apart(t, here, here)
			before := slices.Clone(g.stages)
			interrupt(g)
			if united, err := g.unite(t.Context()); !errors.Is(err, errRegroup) || len(united) != 0 {
				t.Errorf("%d are united, error %v", len(united), err)
			}
			if !slices.Equal(g.stages, before) || len(before[0].members) != 1 {
				t.Error("the stages are not what they were")
			}
		})
	}
}

func ends(g *group) (ids []string) {
	for _, e := range g.ending {
		ids = append(ids, e.id)
	}
	slices.Sort(ids)
	return ids
}

// One message ends at once all that it concerns: those of its table that do not have it behind them.
func TestAMessageThatCannotBeReadEndsThoseWhoseTurnItIs(t *testing.T) {
	for _, tt := range []struct {
		name, subject string
		lsn           string
		want          []string
	}{
		{"of the table", topology.Source("apart").ChangeSubject("public", "tasks"), "300", []string{"h0", "h2"}},
		{"that does not say where", topology.Source("apart").ChangeSubject("public", "tasks"), "", []string{"h0", "h2"}},
		{"of another table", topology.Source("apart").ChangeSubject("public", "others"), "300", nil},
		{"of all tables", topology.Source("apart").ControlSubject(), "300", []string{"h0", "h2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := apart(t, changelog.Place{LSN: 100, Seq: 10}, changelog.Place{LSN: 500, Seq: 50}, changelog.Place{LSN: 200, Seq: 20})
			m := stream.Received{Subject: tt.subject, Seq: 30, First: 30, Data: []byte("nonsense"), Header: nats.Header{}}
			if tt.lsn != "" {
				m.Header.Set(topology.HeaderLSN, tt.lsn)
			}
			err := g.message(t.Context(), changelog.NewFeed("apart", nil, &g.decoder), m, g.stages)
			if got := ends(g); !slices.Equal(got, tt.want) || errors.Is(err, errRegroup) != (len(tt.want) > 0) {
				t.Errorf("%v end, want %v; error %v", got, tt.want, err)
			}
		})
	}
}

func TestWhatTheChangeLogLacksEndsThoseBeforeIt(t *testing.T) {
	g := apart(t, changelog.Place{LSN: 100, Seq: 10}, changelog.Place{LSN: 500, Seq: 50}, changelog.Place{LSN: 200, Seq: 20}, changelog.Place{LSN: 300, Seq: 30})
	m := stream.Received{Seq: 60, First: 60, Header: nats.Header{}}
	m.Header.Set(topology.HeaderLSN, "600")
	m.Header.Set(topology.HeaderAfter, "300") // the message before it, which is gone
	err := g.discarded(g.stages, g.stages[0], m)
	if got, want := ends(g), []string{"h0", "h2"}; !slices.Equal(got, want) || !errors.Is(err, errRegroup) {
		t.Errorf("%v end, want %v; error %v", got, want, err)
	}
}

// Who goes to another group takes along what is known of it.
func TestMembersMoveWithWhatIsKnownOfThem(t *testing.T) {
	g := apart(t, changelog.Place{LSN: 100, Seq: 10})
	st := g.stages[0]
	st.stand(changelog.Place{LSN: 100, Seq: 10}, []reconcile.Txn{{LSN: 80, First: 7}})
	st.creating["h0"], st.shared, st.behind = &creation{}, true, true
	to := g.s.newGroup()
	g.s.move(g, st, slices.Collect(maps.Values(st.members)), to)
	now := to.stages[0]
	if now.creating["h0"] == nil || !now.shared || !now.behind || now.place() != st.place() || len(now.Deferred) != 1 || now.known() != 100 {
		t.Errorf("creating %v, shared %t, behind %t, at %+v, deferred %v, known to %s", now.creating, now.shared, now.behind, now.place(), now.Deferred, now.known())
	}
	if len(st.members)+len(st.creating) != 0 || to.State("h0") != "creating" || g.s.OwnerOf("h0") != live.Owner(to) {
		t.Errorf("left behind: %v, %v; state %s", st.members, st.creating, to.State("h0"))
	}
}
