package gateway

import (
	"errors"
	"fmt"
	"strings"

	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/services/gateway/protocol"
)

// explain puts what the control plane says against a request into the protocol's words, where it has such.
func (g *Gateway) explain(err error, req *protocol.Request) error {
	refused, ok := errors.AsType[*client.RequestError](err)
	if !ok {
		return err
	}
	if refused.Code == control.CodeNotFound || strings.Contains(refused.Text, "does not exist") && !strings.Contains(refused.Text, "where clause") {
		return protocol.Invalid("table", fmt.Sprintf("Table %s does not exist. If the table name contains capitals or special characters you must quote it.", qualified(req.Schema, req.Table)))
	}
	return err
}
