{{- define "shapebus.labels" -}}
app.kubernetes.io/name: shapebus
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- define "shapebus.image" -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag }}
{{- end -}}
{{- end }}

{{/* What every service is started with: where NATS is and who it is there. */}}
{{- define "shapebus.nats" -}}
- {name: SHAPEBUS_SOURCE, value: {{ .source | quote }}}
- {name: SHAPEBUS_NATS_URL, value: {{ .nats.url | quote }}}
- {name: SHAPEBUS_NATS_INBOX_PREFIX, value: {{ .nats.inboxPrefix | quote }}}
{{- with .nats.user }}
- {name: SHAPEBUS_NATS_USER, value: {{ . | quote }}}
{{- end }}
{{- range $key, $variable := dict "password" "SHAPEBUS_NATS_PASSWORD_FILE" "creds" "SHAPEBUS_NATS_CREDS" "nkey" "SHAPEBUS_NATS_NKEY" "tlsCA" "SHAPEBUS_NATS_TLS_CA" "tlsCert" "SHAPEBUS_NATS_TLS_CERT" "tlsKey" "SHAPEBUS_NATS_TLS_KEY" }}
{{- with index $.nats.keys $key }}
- {name: {{ $variable }}, value: {{ printf "/run/secrets/nats/%s" . | quote }}}
{{- end }}
{{- end }}
{{- end }}

{{/* A service: its Deployment, and what keeps one of it when nodes are drained. */}}
{{- define "shapebus.service" -}}
{{- $v := .root.Values -}}
{{- $s := index $v .name -}}
{{- if gt (int $s.replicas) 0 }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .root.Release.Name }}-{{ .name }}
  labels: {{- include "shapebus.labels" . | nindent 4 }}
spec:
  replicas: {{ $s.replicas }}
  selector:
    matchLabels: {{- include "shapebus.labels" . | nindent 6 }}
  strategy:
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
  template:
    metadata:
      labels:
        {{- include "shapebus.labels" . | nindent 8 }}
        {{- with $v.podLabels }}{{ toYaml . | nindent 8 }}{{ end }}
      {{- with $v.podAnnotations }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 30
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        fsGroup: 10001
        seccompProfile: {type: RuntimeDefault}
      {{- with $v.image.pullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $v.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with $v.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $v.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{- include "shapebus.labels" . | nindent 14 }}
      containers:
        - name: {{ .name }}
          image: {{ include "shapebus.image" (dict "repository" $v.image.repository "digest" $v.image.digest "tag" (default .root.Chart.Version $v.image.tag)) | quote }}
          imagePullPolicy: {{ $v.image.pullPolicy }}
          args:
            - {{ .name }}
            {{- range $s.args }}
            - {{ . | quote }}
            {{- end }}
          env:
            {{- include "shapebus.nats" $v | nindent 12 }}
            - {name: SHAPEBUS_LISTEN, value: ":8080"}
            - {name: SHAPEBUS_LOG_FORMAT, value: json}
            {{- if ne .name "gateway" }}
            - {name: SHAPEBUS_REPLICAS, value: {{ $v.nats.copies | quote }}}
            - {name: SHAPEBUS_SYNC_INTERVAL, value: {{ $v.nats.syncInterval | quote }}}
            {{- end }}
            {{- if eq .name "consumer" }}
            - {name: SHAPEBUS_PARTITIONS, value: {{ $v.partitions | quote }}}
            {{- end }}
            {{- if eq .name "gateway" }}
            - {name: SHAPEBUS_HTTP_LISTEN, value: {{ printf ":%d" (int $s.port) | quote }}}
            {{- end }}
            {{- if and (eq .name "gateway") $s.secret }}
            {{- range $key, $variable := dict "secret" "SHAPEBUS_SECRET_FILE" "consoleSecret" "SHAPEBUS_CONSOLE_SECRET_FILE" "consoleViewerSecret" "SHAPEBUS_CONSOLE_VIEWER_SECRET_FILE" "tokenSecret" "SHAPEBUS_TOKEN_SECRET_FILE" "tokenKeys" "SHAPEBUS_TOKEN_KEYS" "tlsCert" "SHAPEBUS_HTTP_CERT" "tlsKey" "SHAPEBUS_HTTP_KEY" }}
            {{- with index $s.keys $key }}
            - {name: {{ $variable }}, value: {{ printf "/run/secrets/gateway/%s" . | quote }}}
            {{- end }}
            {{- end }}
            {{- end }}
            {{- if ne .name "materializer" }}
            - {name: SHAPEBUS_DATABASE_URL_FILE, value: {{ printf "/run/secrets/database/%s" $v.database.key | quote }}}
            {{- end }}
            {{- range $name, $value := $s.env }}
            - {name: {{ $name }}, value: {{ $value | quote }}}
            {{- end }}
          ports:
            - {name: health, containerPort: 8080}
            {{- if eq .name "gateway" }}
            - {name: http, containerPort: {{ $s.port }}}
            {{- end }}
          readinessProbe:
            httpGet: {path: /readyz, port: health}
            periodSeconds: 5
            timeoutSeconds: 3
          # It fails when a main loop has not turned for two minutes. A process that waits for NATS or Postgres is alive.
          livenessProbe:
            httpGet: {path: /healthz, port: health}
            initialDelaySeconds: 30
            periodSeconds: 20
            timeoutSeconds: 10
            failureThreshold: 3
          resources: {{- toYaml $s.resources | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          volumeMounts:
            {{- if ne .name "materializer" }}
            - {name: database, mountPath: /run/secrets/database, readOnly: true}
            {{- end }}
            {{- if $v.nats.secret }}
            - {name: nats, mountPath: /run/secrets/nats, readOnly: true}
            {{- end }}
            {{- if and (eq .name "gateway") $s.secret }}
            - {name: gateway, mountPath: /run/secrets/gateway, readOnly: true}
            {{- end }}
      volumes:
        {{- if ne .name "materializer" }}
        - name: database
          secret: {secretName: {{ $v.database.secret | quote }}, defaultMode: 0440}
        {{- end }}
        {{- with $v.nats.secret }}
        - name: nats
          secret: {secretName: {{ . | quote }}, defaultMode: 0440}
        {{- end }}
        {{- if and (eq .name "gateway") $s.secret }}
        - name: gateway
          secret: {secretName: {{ $s.secret | quote }}, defaultMode: 0440}
        {{- end }}
{{- if gt (int $s.replicas) 1 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .root.Release.Name }}-{{ .name }}
  labels: {{- include "shapebus.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "shapebus.labels" . | nindent 6 }}
{{- end }}
{{- end }}
{{- end }}
