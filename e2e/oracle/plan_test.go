package oracle

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// plan says which ingredients a run has. One run has some of them: what happens
// in it stays clear, and each gets room in some runs.
type plan struct {
	on         map[ingredient]bool
	partitions int
	short      bool // there is no time for much
}

// ingredient is something that a run may have beside traffic, kills and shapes
// that come and go.
type ingredient string

// The ingredients.
const (
	trims     ingredient = "trims"     // the change log and verdicts are trimmed all the time
	bases     ingredient = "bases"     // value sets are written as a whole very often, so that they get ahead of places
	toggles   ingredient = "toggles"   // long histories of small changes on inner tables
	locks     ingredient = "locks"     // outer tables are locked, so that units and creations take long
	slow      ingredient = "slow"      // the materializer stands still for a while
	again     ingredient = "again"     // shapes are deleted and made again, and other columns of known inner shapes selected
	refills   ingredient = "refills"   // tables are truncated and filled with the same rows
	ddl       ingredient = "ddl"       // columns come, types change, tables are dropped and made again
	ends      ingredient = "ends"      // the publication or the slot is dropped: all shapes end
	many      ingredient = "many"      // a few hundred small shapes, nested ones among them
	pgDies    ingredient = "pgdies"    // Postgres is killed
	natsDies  ingredient = "natsdies"  // NATS is killed
	natsLoses ingredient = "natsloses" // and loses the end of the change log, which it had not synced
	prepared  ingredient = "prepared"  // two-phase commit
	readers   ingredient = "readers"   // package client reads along
	shared    ingredient = "shared"    // three consumers and two materializers share the partitions, and others come and go
	folds     ingredient = "folds"     // logs are folded all the time
)

var ingredients = []ingredient{
	trims, bases, toggles, locks, slow, again, refills, ddl, ends, many, pgDies, natsDies, natsLoses, prepared, readers, shared, folds,
}

// likely are ingredients that others need to have a point.
var likely = []ingredient{trims, bases, toggles, shared}

// newPlan draws a plan from a seed, or takes what ingredientsEnv names.
func newPlan(tb testing.TB, seed uint64, long time.Duration) *plan {
	tb.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	p := &plan{on: map[ingredient]bool{}, partitions: []int{1, 3, 8}[rng.IntN(3)], short: long < time.Minute}
	if text, given := os.LookupEnv(ingredientsEnv); given && text != "" {
		for name := range strings.SplitSeq(text, ",") {
			if name == "none" {
				continue
			}
			if !slices.Contains(ingredients, ingredient(name)) {
				tb.Fatalf("%s: %q is none of %v", ingredientsEnv, name, ingredients)
			}
			p.on[ingredient(name)] = true
		}
		return p
	}
	for _, i := range likely {
		p.on[i] = rng.IntN(3) > 0
	}
	others := 2 + rng.IntN(4)
	if p.short {
		others = 1 + rng.IntN(2)
	}
	for _, i := range rng.Perm(len(ingredients))[:others] {
		p.on[ingredients[i]] = true
	}
	return p
}

func (p *plan) has(i ingredient) bool { return p.on[i] }

func (p *plan) String() string {
	var names []string
	for _, i := range ingredients {
		if p.on[i] {
			names = append(names, string(i))
		}
	}
	if len(names) == 0 {
		names = []string{"none"}
	}
	return fmt.Sprintf("%s=%s, %d partitions", ingredientsEnv, strings.Join(names, ","), p.partitions)
}

// ingestArgs draws another fragment size each time.
func (w *world) ingestArgs() []string {
	sync := "100ms"
	if w.plan.has(natsLoses) {
		sync = "1h" // Postgres keeps all that NATS may lose
	}
	args := []string{"ingest", "--listen=", "--sync-interval", sync}
	if n := []int{1, 2, 3, 7, 100, 0}[w.rng.IntN(6)]; n > 0 {
		args = append(args, "--fragment-ops", fmt.Sprint(n))
	}
	return args
}

func (w *world) consumerArgs() []string {
	args := []string{
		"consumer", "--listen=", "--checkpoint", "100ms", "--catalog-interval", "1s", "--partitions", fmt.Sprint(w.plan.partitions),
		"--lock-timeout", "1s", "--inner-grace", "3s", "--sync-interval", w.syncInterval(),
	}
	if w.plan.has(folds) {
		return append(args, "--fold-factor", "0.1", "--fold-least", "1", "--fold-grace", foldGrace.String())
	}
	return append(args, "--fold-factor", "0")
}

func (w *world) materializerArgs() []string {
	args := []string{"materializer", "--listen=", "--sync-interval", w.syncInterval()}
	if w.plan.has(bases) {
		args = append(args, "--value-set-base-least", "1KiB")
	}
	return args
}

// syncInterval decides how soon is trimmed what nobody needs any more.
func (w *world) syncInterval() string {
	if w.plan.has(trims) || w.plan.has(folds) { // which wait for the one before to be on disk
		return "300ms"
	}
	return "130s"
}
