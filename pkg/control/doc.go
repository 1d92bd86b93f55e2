// Package control holds the requests and answers of Shapebus' control plane:
// a NATS micro service named "shapebus" with one endpoint per request on
// shapebus.<source>.<endpoint>, all in JSON. An error comes back in the headers
// of the micro protocol: Nats-Service-Error-Code (one of the Code constants)
// and Nats-Service-Error (what failed, on what, what to do).
//
// The service itself is in services/consumer, a client in pkg/client.
package control
