{{/* The operator's configuration file. */}}
{{- define "showrunner.config" -}}
namespaces: {{ .Values.watchNamespaces | toJson }}
election:
  leaseDurationMillis: {{ mul .Values.lease.durationSeconds 1000 }}
  renewDeadlineMillis: {{ mul .Values.lease.renewDeadlineSeconds 1000 }}
  retryPeriodMillis: {{ mul .Values.lease.retryPeriodSeconds 1000 }}
  requestTimeoutMillis: {{ mul .Values.lease.requestTimeoutSeconds 1000 }}
queue:
  concurrency: {{ .Values.queue.concurrency }}
  resyncSeconds: {{ .Values.queue.resyncSeconds }}
  backoffBaseMillis: {{ .Values.queue.backoffBaseMillis }}
  backoffCapSeconds: {{ .Values.queue.backoffCapSeconds }}
  writesPerSecond: {{ .Values.queue.writesPerSecond | default 100 }}
drainSeconds: {{ .Values.drainSeconds }}
log:
  level: {{ .Values.log.level | quote }}
  format: {{ .Values.log.format }}
{{- with .Values.traces }}
{{- if .endpoint }}
traces:
  endpoint: {{ .endpoint | quote }}
  sampleRatio: {{ .sampleRatio }}
  {{- if .headersSecret }}
  headers: /etc/showrunner/traces
  {{- end }}
{{- end }}
{{- end }}
{{- with .Values.notify }}
{{- $channels := dict "resendSeconds" .resendSeconds }}
{{- range $kind := list "alertmanagers" "slack" "pagerduty" }}
{{- $list := list }}
{{- range index $.Values.notify $kind }}
{{- $channel := omit . "token" "secret" }}
{{- if .token }}{{ $_ := set $channel "credentials" (printf "/etc/showrunner/notify/%s-%s" $kind .name) }}{{ end }}
{{- if .secret }}{{ $_ := set $channel "secret" (printf "/etc/showrunner/notify/%s-%s" $kind .name) }}{{ end }}
{{- $list = append $list $channel }}
{{- end }}
{{- $_ := set $channels $kind $list }}
{{- end }}
notify: {{- $channels | toYaml | nindent 2 }}
{{- end }}
{{- if eq .Values.debug.listen "Cluster" }}
debug:
  listen: Cluster
  tls: /etc/showrunner/debug
  role: {{ include "showrunner.debugRole" . }}
{{- end }}
{{- /* Values of an older release, reused, have no leases. */}}
{{- if (.Values.leases).enabled }}
leases:
  tls: /etc/showrunner/leases
  host: {{ include "showrunner.name" . }}.{{ .Release.Namespace }}.svc
  prices: {{ .Values.prices.api | default list | toJson }}
{{- end }}
jobs:
  image: {{ include "showrunner.image" (list .Values.worker.image .) | quote }}
  imagePullPolicy: {{ .Values.worker.image.pullPolicy }}
  imagePullSecrets: {{ .Values.worker.imagePullSecrets | toJson }}
  {{- with .Values.worker.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- /* Values of an older release, reused, have no jobs. */}}
  maxInFlight: {{ ((.Values.jobs).maxInFlight) | default 500 }}
  currency: {{ .Values.prices.currency }}
  prices: {{ omit .Values.prices "currency" "api" | toJson }}
  classes: {{- .Values.classes | toYaml | nindent 4 }}
kinds:
  {{- /* Values of an older release, reused, have no budgets. */}}
  {{- $budgets := .Values.budgets | default dict }}
  {{- $settings := dict }}
  {{- with $budgets.ledger }}{{ if .store }}{{ $_ := set $settings "ledger" (dict "store" .store "path" .path) }}{{ end }}{{ end }}
  {{- with $budgets.selector }}{{ $_ := set $settings "selector" . }}{{ end }}
  {{- with $budgets.unbudgeted }}{{ $_ := set $settings "unbudgeted" . }}{{ end }}
  {{- if $settings }}
  aiBudget: {{- $settings | toYaml | nindent 4 }}
  {{- end }}
  titleEnrichment:
    resources:
      cpuMillis: {{ .Values.worker.resources.cpuMillis }}
      cpuRequestMillis: {{ .Values.worker.resources.cpuRequestMillis }}
      memoryBytes: {{ mul .Values.worker.resources.memoryMiB 1048576 }}
      scratchBytes: {{ mul .Values.worker.resources.scratchMiB 1048576 }}
    childMemoryBytes: {{ mul .Values.worker.childMemoryMiB 1048576 }}
    maxMediaSeconds: {{ .Values.worker.maxMediaSeconds }}
    allowedLicences: {{ .Values.models.allowedLicences | toJson }}
    models: {{- concat (.Files.Get "files/models.yaml" | fromYamlArray) .Values.models.extra | toYaml | nindent 6 }}
{{- $stores := list }}
{{- range $name, $store := .Values.stores }}
{{- $profile := merge (dict "name" $name) (omit $store "credentials" "podEndpoint" "ports") }}
{{- with $store.podEndpoint }}{{ $_ := set $profile "podEndpoint" . }}{{ end }}
{{- if $store.credentials }}{{ $_ := set $profile "credentials" (printf "/etc/showrunner/stores/%s" $name) }}{{ end }}
{{- $stores = append $stores $profile }}
{{- end }}
stores: {{- if $stores }}{{ $stores | toYaml | nindent 2 }}{{ else }} []{{ end }}
{{- end }}
