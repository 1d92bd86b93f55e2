package protocol

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/shapebus/shapebus/pkg/client"
)

// Bounds of what a request may ask for.
const (
	maxWhere   = 64 << 10
	maxColumns = 1600 // a table of Postgres has no more
	maxHandle  = 128
)

// Request is what a client asks for, checked as far as that is possible without the database.
type Request struct {
	Definition

	Offset Offset
	Handle string // empty if none was given, or if it does not matter
	Live   bool
	SSE    bool
	Cursor string
	Subset *Subset // nil for a request of the log
}

// Definition is the part of a request that makes the shape.
type Definition struct {
	Schema, Table string
	Columns       []string // in the order given; nil for all
	Where         string   // with parameters $1, $2, … as in Params
	Params        []*string
	Full          bool     // replica=full
	ChangesOnly   bool     // log=changes_only: no rows of the snapshot
	Queryable     []string // columns that a subset's clause may read; nil for all
}

// Client is the definition as the control plane takes it.
func (d *Definition) Client() client.Definition {
	def := client.Definition{Table: Quote(d.Schema) + "." + Quote(d.Table), Columns: d.Columns, Where: d.Where}
	for _, p := range d.Params {
		if p == nil {
			def.Params = append(def.Params, nil)
			continue
		}
		def.Params = append(def.Params, *p)
	}
	return def
}

// Key tells definitions of different shapes apart. Two of one shape may have different keys.
func (d *Definition) Key() string {
	var b strings.Builder
	add := func(s string) {
		b.WriteString(strconv.Itoa(len(s)))
		b.WriteByte(':')
		b.WriteString(s)
	}
	add(d.Schema)
	add(d.Table)
	add(d.Where)
	for _, p := range d.Params {
		if p == nil {
			b.WriteByte('-')
			continue
		}
		add(*p)
	}
	b.WriteByte('/')
	columns := slices.Clone(d.Columns)
	slices.Sort(columns)
	for _, c := range columns {
		add(c)
	}
	return b.String()
}

// Values are a request's parameters. Of a scalar that comes several times the last one counts, and an empty one is none.
type Values struct{ url.Values }

func (v Values) get(name string) string {
	all := v.Values[name]
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

// flag is true unless the parameter is absent or says false; the bare name is true.
func (v Values) flag(name string) (on, given bool) {
	all, ok := v.Values[name]
	if !ok || len(all) == 0 {
		return false, false
	}
	return all[len(all)-1] != "false", true
}

// Parse checks the parameters of a request in the protocol's order: the first stage that finds something wrong ends it.
// subset is that of a request body, nil without one.
func Parse(v Values, subset *SubsetInput) (*Request, *Error) {
	r := &Request{Handle: v.get("handle"), Cursor: v.get("cursor")}
	given, err := r.types(v)
	if err != nil {
		return nil, err
	}
	if err := r.position(v); err != nil {
		return nil, err
	}
	if err := r.parse(v, given); err != nil {
		return nil, err
	}
	if subset == nil {
		subset = subsetOf(v)
	}
	if subset != nil {
		if r.Subset, err = subset.parse(&r.Definition); err != nil {
			return nil, err
		}
		r.Live, r.SSE = false, false
	}
	return r, nil
}

// ParseDefinition checks the parameters that make the shape, for requests that are of no position.
func ParseDefinition(v Values) (*Definition, *Error) {
	var r Request
	given, err := r.typesOf(v, map[string]string{})
	if err != nil {
		return nil, err
	}
	if err := r.parse(v, given); err != nil {
		return nil, err
	}
	return &r.Definition, nil
}

// types checks that everything is of its type, and that there is an offset.
func (r *Request) types(v Values) (numbered, *Error) {
	wrong := map[string]string{}
	if v.get("offset") == "" {
		wrong["offset"] = "can't be blank"
	}
	return r.typesOf(v, wrong)
}

func (r *Request) typesOf(v Values, wrong map[string]string) (numbered, *Error) {
	switch v.get("replica") {
	case "", "default":
	case "full":
		r.Full = true
	default:
		wrong["replica"] = "is invalid"
	}
	switch v.get("log") {
	case "", "full":
	case "changes_only":
		r.ChangesOnly = true
	default:
		wrong["log"] = "is invalid"
	}
	given, err := params(v.Values)
	if err != nil {
		wrong["params"] = err.Error()
	}
	if len(v.get("where")) > maxWhere {
		wrong["where"] = "the clause is bigger than maximum size, 65536 bytes"
	}
	// The consumer would get the replacement character for what is none, and so another clause.
	if !utf8.ValidString(v.get("where")) {
		wrong["where"] = "is not UTF-8 text"
	}
	for _, value := range given {
		if !utf8.ValidString(value) {
			wrong["params"] = "are not UTF-8 text"
		}
	}
	if len(wrong) > 0 {
		return nil, invalidAll(wrong)
	}
	return given, nil
}

// position checks the place that is asked for, and how.
func (r *Request) position(v Values) *Error {
	offset, ok := ParseOffset(v.get("offset"))
	if !ok {
		return Invalid("offset", "has invalid format")
	}
	r.Offset = offset
	if offset.Beginning || offset.Now {
		r.Handle = ""
	} else if r.Handle == "" {
		return Invalid("handle", "can't be blank when offset != -1")
	}
	if len(r.Handle) > maxHandle || strings.Trim(r.Handle, handleBytes) != "" {
		r.Handle = "?" // nobody's
	}
	r.Live, _ = v.flag("live")
	sse, given := v.flag("live_sse")
	if old := v.get("experimental_live_sse"); !given && old != "" {
		sse, _ = strconv.ParseBool(old)
	}
	r.SSE = sse
	switch {
	case r.Live && offset.Beginning:
		return Invalid("live", "can't be true when offset == -1")
	case r.Live && offset.Now:
		return Invalid("live", "can't be true when offset is 'now'")
	case r.SSE && !r.Live:
		return Invalid("live_sse", "can't be true unless live is also true")
	}
	return nil
}

// handleBytes are what handles are made of.
const handleBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

func (d *Definition) parse(v Values, given numbered) *Error {
	table := v.get("table")
	if table == "" {
		return Invalid("table", "can't be blank")
	}
	var err error
	if d.Schema, d.Table, err = Table(table); err != nil {
		return Invalid("table", err.Error())
	}
	for _, list := range []struct {
		name string
		to   *[]string
	}{{"columns", &d.Columns}, {"queryable_columns", &d.Queryable}} {
		text := v.get(list.name)
		if text == "" {
			continue
		}
		if *list.to, err = Columns(text); err == nil && len(*list.to) > maxColumns {
			err = errors.New("there are too many columns")
		}
		if err != nil {
			return Invalid(list.name, err.Error())
		}
		slices.Sort(*list.to)
		*list.to = slices.Compact(*list.to)
	}
	if d.Columns == nil {
		d.Columns = d.Queryable
	}
	d.Where, d.Params, err = bind(v.get("where"), given)
	if errors.Is(err, errParamSequence) {
		return Invalid("params", err.Error())
	}
	if err != nil {
		return Invalid("where", err.Error())
	}
	return nil
}
