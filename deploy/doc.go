// Package deploy holds what runs and watches Shapebus elsewhere: a Helm chart, Prometheus' alerts, a Grafana dashboard. Its
// tests read them as Helm, Kubernetes and Prometheus would; cmd/shapebus tests that every flag and metric in them exists.
package deploy
