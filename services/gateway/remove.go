package gateway

import (
	"errors"
	"net/http"

	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/services/gateway/protocol"
	"github.com/shapebus/shapebus/services/gateway/shapes"
)

// remove deletes a shape, where that is allowed.
func (g *Gateway) remove(w http.ResponseWriter, r *http.Request, who *principal, v protocol.Values) error {
	if !g.cfg.Deletions {
		return protocol.Refuse(http.StatusMethodNotAllowed, "DELETE not allowed")
	}
	handle := v.Get("handle")
	if v.Get("table") == "" {
		if handle == "" {
			return protocol.DefinitionMissing()
		}
		if who.grants != nil || len(g.access.tables) > 0 {
			return errForbidden // of which table it is, is not known
		}
		return g.delete(w, r, shapes.LifeOf(handle))
	}
	def, refused := protocol.ParseDefinition(v)
	if refused != nil {
		return refused
	}
	if err := who.bind(def); err != nil {
		return err
	}
	shape := g.keeper.Known(def)
	if shape == nil {
		return protocol.Refuse(http.StatusNotFound, "No existing shape found")
	}
	defer shape.Release()
	if handle != "" && shapes.LifeOf(handle) != shape.Handle() {
		return protocol.Refuse(http.StatusBadRequest, "The specified shape definition and handle do not match. Please ensure the shape definition is correct or omit the shape handle from the request to obtain a new one.")
	}
	return g.delete(w, r, shape.Handle())
}

func (g *Gateway) delete(w http.ResponseWriter, r *http.Request, handle string) error {
	err := g.keeper.Delete(r.Context(), handle)
	if errors.Is(err, client.ErrNotFound) {
		return protocol.Refuse(http.StatusNotFound, "No existing shape found")
	}
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-cache")
	g.hurry(w)
	w.WriteHeader(http.StatusAccepted)
	return nil
}
