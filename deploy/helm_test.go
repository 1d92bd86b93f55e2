package deploy

import (
	"path"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

const chart = "helm/shapebus"

// everything are values that use all that the chart has.
var everything = map[string]any{
	"image": map[string]any{"digest": "sha256:" + strings.Repeat("a", 64), "pullSecrets": []any{map[string]any{"name": "registry"}}},
	"nats":  map[string]any{"user": "shapebus", "secret": "nats", "keys": map[string]any{"password": "password", "tlsCA": "ca.crt"}},
	"gateway": map[string]any{"replicas": 2, "args": []any{"--long-poll=30s"}, "secret": "gateway", "keys": map[string]any{
		"secret": "proxy", "consoleSecret": "console", "consoleViewerSecret": "viewer", "tokenSecret": "jwt", "tokenKeys": "jwks.json", "tlsCert": "tls.crt", "tlsKey": "tls.key",
	}},
	"ingest":            map[string]any{"env": map[string]any{"SHAPEBUS_FAILOVER": "true"}},
	"podLabels":         map[string]any{"team": "data"},
	"nodeSelector":      map[string]any{"disk": "fast"},
	"tolerations":       []any{map[string]any{"key": "dedicated", "operator": "Exists"}},
	"priorityClassName": "high",
}

func TestHelmHasNothingAgainstTheChart(t *testing.T) {
	for name, values := range map[string]map[string]any{"as it is": nil, "with everything": everything} {
		for _, m := range lint.All(chart, values, "shapes", true).Messages {
			if m.Severity > support.InfoSev {
				t.Errorf("%s: %v", name, m)
			}
		}
	}
}

// objects are what the chart makes of values.
type objects struct {
	deployments map[string]apps.Deployment // by component
	budgets     map[string]policy.PodDisruptionBudget
	services    map[string]core.Service
}

// render returns what Kubernetes would be given. A field that Kubernetes does not know fails the test.
func render(t *testing.T, values map[string]any) objects {
	t.Helper()
	c, err := loader.Load(chart)
	if err != nil {
		t.Fatal(err)
	}
	all, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{Name: "app", Namespace: "shapes", Revision: 1, IsInstall: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	files, err := engine.Engine{Strict: true}.Render(c, all)
	if err != nil {
		t.Fatal(err)
	}
	o := objects{map[string]apps.Deployment{}, map[string]policy.PodDisruptionBudget{}, map[string]core.Service{}}
	for name, text := range files {
		if path.Ext(name) != ".yaml" {
			continue
		}
		for _, doc := range strings.Split(text, "\n---\n") {
			if strings.TrimSpace(doc) == "" {
				continue
			}
			var head struct{ Kind string }
			must(t, yaml.Unmarshal([]byte(doc), &head), doc)
			switch head.Kind {
			case "Deployment":
				var d apps.Deployment
				must(t, yaml.UnmarshalStrict([]byte(doc), &d), doc)
				o.deployments[d.Labels["app.kubernetes.io/component"]] = d
			case "PodDisruptionBudget":
				var b policy.PodDisruptionBudget
				must(t, yaml.UnmarshalStrict([]byte(doc), &b), doc)
				o.budgets[b.Labels["app.kubernetes.io/component"]] = b
			case "Service":
				var s core.Service
				must(t, yaml.UnmarshalStrict([]byte(doc), &s), doc)
				o.services[s.Labels["app.kubernetes.io/component"]] = s
			default:
				t.Errorf("%s has a %q", name, head.Kind)
			}
		}
	}
	return o
}

func must(t *testing.T, err error, doc string) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v in:\n%s", err, doc)
	}
}

func TestTheChartRunsTheServices(t *testing.T) {
	for name, c := range map[string]struct {
		values   map[string]any
		services []string
	}{
		"as it is":        {nil, []string{"consumer", "ingest", "materializer"}},
		"with everything": {everything, []string{"consumer", "gateway", "ingest", "materializer"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := render(t, c.values)
			var have []string
			for component, d := range o.deployments {
				have = append(have, component)
				checkDeployment(t, component, d)
				if b, ok := o.budgets[component]; !ok || b.Spec.MaxUnavailable.IntValue() != 1 {
					t.Errorf("%s may lose all its pods when nodes are drained", component)
				}
			}
			slices.Sort(have)
			if !slices.Equal(have, c.services) {
				t.Errorf("it runs %v, want %v", have, c.services)
			}
		})
	}
}

func checkDeployment(t *testing.T, component string, d apps.Deployment) {
	t.Helper()
	pod := d.Spec.Template
	for key, value := range d.Spec.Selector.MatchLabels {
		if pod.Labels[key] != value {
			t.Errorf("%s does not select its own pods: %s", component, key)
		}
	}
	if len(pod.Spec.Containers) != 1 {
		t.Fatalf("%s has %d containers", component, len(pod.Spec.Containers))
	}
	c := pod.Spec.Containers[0]
	if len(c.Args) == 0 || c.Args[0] != component {
		t.Errorf("%s runs shapebus %v", component, c.Args)
	}
	probe := func(what string, p *core.Probe, want string) {
		if p == nil || p.HTTPGet == nil || p.HTTPGet.Path != want || p.HTTPGet.Port.StrVal != "health" {
			t.Errorf("the %s probe of %s is %v, want %s", what, component, p, want)
		}
	}
	probe("readiness", c.ReadinessProbe, "/readyz")
	probe("liveness", c.LivenessProbe, "/healthz")
	if c.StartupProbe != nil {
		t.Errorf("%s has a startup probe: a process that waits for NATS would be killed", component)
	}
	if c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
		t.Errorf("%s does not say what it may use: %v", component, c.Resources)
	}
	if !*pod.Spec.SecurityContext.RunAsNonRoot || !*c.SecurityContext.ReadOnlyRootFilesystem || *c.SecurityContext.AllowPrivilegeEscalation {
		t.Errorf("%s may more than it needs", component)
	}
	mounted := map[string]string{} // secret by where it is
	for _, m := range c.VolumeMounts {
		for _, v := range pod.Spec.Volumes {
			if v.Name == m.Name && v.Secret != nil {
				mounted[m.MountPath] = v.Secret.SecretName
			}
		}
	}
	for _, e := range c.Env {
		if e.ValueFrom != nil || strings.Contains(e.Name, "PASSWORD") && !strings.HasSuffix(e.Name, "_FILE") {
			t.Errorf("%s has a secret in its environment: %s", component, e.Name)
		}
		if strings.HasPrefix(e.Value, "/run/secrets/") && mounted[path.Dir(e.Value)] == "" {
			t.Errorf("%s: nothing is mounted where %s looks: %s", component, e.Name, e.Value)
		}
	}
}

func TestTheGatewayCanBeReached(t *testing.T) {
	o := render(t, everything)
	s, d := o.services["gateway"], o.deployments["gateway"]
	for key, value := range s.Spec.Selector {
		if d.Spec.Template.Labels[key] != value {
			t.Errorf("the service does not select the gateway: %s", key)
		}
	}
	var names []string
	for _, p := range d.Spec.Template.Spec.Containers[0].Ports {
		names = append(names, p.Name)
	}
	if len(s.Spec.Ports) != 1 || !slices.Contains(names, s.Spec.Ports[0].TargetPort.StrVal) {
		t.Errorf("the service leads to %v, the gateway has %v", s.Spec.Ports, names)
	}
	variables := map[string]string{}
	for _, e := range d.Spec.Template.Spec.Containers[0].Env {
		variables[e.Name] = e.Value
	}
	for name, key := range map[string]string{
		"SECRET_FILE": "proxy", "CONSOLE_SECRET_FILE": "console", "CONSOLE_VIEWER_SECRET_FILE": "viewer", "TOKEN_SECRET_FILE": "jwt", "TOKEN_KEYS": "jwks.json", "HTTP_CERT": "tls.crt", "HTTP_KEY": "tls.key",
	} {
		if got := variables["SHAPEBUS_"+name]; got != "/run/secrets/gateway/"+key {
			t.Errorf("SHAPEBUS_%s is %q", name, got)
		}
	}
	if want := "shapebus@sha256:" + strings.Repeat("a", 64); d.Spec.Template.Spec.Containers[0].Image != want {
		t.Errorf("the image is %s, want %s", d.Spec.Template.Spec.Containers[0].Image, want)
	}
}
