package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/services/gateway/protocol"
	"github.com/shapebus/shapebus/services/gateway/shapes"
)

// refuse answers with an error.
func (g *Gateway) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		// Nobody is there, or somebody who has said all there is to say and listens: returning would be an empty answer of status
		// 200, which a cache on the way may keep.
		panic(http.ErrAbortHandler)
	}
	e, ok := errors.AsType[*protocol.Error](err)
	if !ok {
		e = g.answerTo(err)
	}
	h := w.Header()
	switch {
	case r.Method == http.MethodDelete:
		h.Set("Cache-Control", "no-cache")
	case e.Status == http.StatusConflict && e.Handle != "":
		h.Set("Cache-Control", fmt.Sprintf("public, max-age=%d, must-revalidate", seconds(g.cfg.MaxAge)))
	case e.Status == http.StatusConflict:
		h.Set("Cache-Control", "public, max-age=1, must-revalidate")
	default:
		h.Set("Cache-Control", "no-store")
		h.Set("Surrogate-Control", "no-store")
	}
	if g.access.private && e.Status == http.StatusConflict {
		h.Set("Cache-Control", "no-store")
	}
	if e.Handle != "" {
		h.Set("Electric-Handle", e.Handle)
	}
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(e.RetryAfter))
	}
	switch {
	case e.Status == http.StatusConflict:
		g.count.conflicts.Add(1)
	case e.Status >= http.StatusInternalServerError:
		g.count.errors.Add(1)
		if e.RetryAfter > 0 {
			h.Set("Electric-Internal-Known-Error", "true")
		}
	default:
		g.count.refused.Add(1)
	}
	g.json(w, e.Status, e.Body)
}

// answerTo is what a client is told of an error. Nothing of the inside goes out that the client did not bring.
func (g *Gateway) answerTo(err error) *protocol.Error {
	refused, ok := errors.AsType[*client.RequestError](err)
	switch {
	case errors.Is(err, shapes.ErrOver):
		return protocol.MustRefetch("")
	case errors.Is(err, shapes.ErrCreating):
		return protocol.Unavailable("The shape's snapshot is still being taken, please retry", 1)
	case errors.Is(err, shapes.ErrBusy):
		return protocol.Overloaded(http.StatusServiceUnavailable, "shape_limit_exceeded", "Too many shapes are in use, please retry", 10)
	case errors.Is(err, shapes.ErrNoRoom):
		return protocol.Overloaded(http.StatusServiceUnavailable, "answer_limit_exceeded", "Too many large answers are being sent, please retry", 1+rand.IntN(4))
	case errors.Is(err, shapes.ErrStalled):
		return protocol.Unavailable("Timeout waiting for the shape to be readable", 5)
	case ok:
		if refused.Code == control.CodeForbidden || refused.Code == control.CodeQuota {
			g.cfg.Log.Warn("the control plane refuses a shape", slog.String("code", refused.Code), slog.String("reason", refused.Text))
		}
		return refusal(refused)
	case errors.Is(err, context.Canceled):
		return protocol.Unavailable("The request was given up, please retry", 1)
	}
	g.cfg.Log.Warn("a request failed", slog.Any("error", err))
	return protocol.Unavailable("The shape cannot be read just now, please retry", 5)
}

var (
	atPosition = regexp.MustCompile(`^where clause(?:, position (\d+))?: (.*)$`)
	quoted     = regexp.MustCompile(`(?s)^(.*?) \(.*\)$`)
)

// syntaxPrefix is what stands before a clause where the protocol counts the places of errors in its syntax.
const syntaxPrefix = len("SELECT 1 WHERE ")

// refusal puts what the control plane says into the protocol's form.
func refusal(e *client.RequestError) *protocol.Error {
	switch e.Code {
	case control.CodeConflict:
		return protocol.Unavailable("Failed to create shape, please retry", 1)
	case control.CodeUnavailable:
		return protocol.Unavailable("Cannot connect to the database to verify the shape. Please try again later.", 1)
	case control.CodeForbidden:
		return errForbidden // by Postgres or by whoever runs the control plane; which, and for what, is not the client's
	case control.CodeQuota:
		return protocol.Overloaded(http.StatusServiceUnavailable, "shape_limit_exceeded", "There are as many shapes as there may be, please retry", 10)
	case control.CodeTooLarge:
		return protocol.Invalid("where", "the clause and its columns are too large together")
	}
	if m := atPosition.FindStringSubmatch(e.Text); m != nil {
		return protocol.Invalid("where", whereText(m[1], m[2]))
	}
	switch {
	case strings.Contains(e.Text, "column"):
		return protocol.Invalid("columns", e.Text)
	case strings.Contains(e.Text, "$"):
		return protocol.Invalid("params", e.Text)
	}
	return protocol.Invalid("table", e.Text)
}

// clauseText is what a client is told of an error in its clause.
func clauseText(err error) string {
	e, ok := errors.AsType[*predicate.Error](err)
	switch {
	case !ok:
		return err.Error()
	case e.Pos > 0:
		return whereText(strconv.Itoa(e.Pos), e.Message)
	}
	return whereText("", e.Message)
}

// whereText is an error in a clause at a place, which is counted from 1 or not known.
func whereText(position, text string) string {
	if m := quoted.FindStringSubmatch(text); m != nil && strings.HasPrefix(text, "syntax error") {
		text = m[1]
	}
	n, err := strconv.Atoi(position)
	if err != nil {
		return text
	}
	n--
	if strings.HasPrefix(text, "syntax error") {
		n += syntaxPrefix
	}
	return fmt.Sprintf("At location %d: %s", n, text)
}
