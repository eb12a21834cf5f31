{{/* Names, labels and image references. */}}

{{- define "showrunner.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}{{ if not (contains "showrunner" .Release.Name) }}-showrunner{{ end }}
{{- end }}

{{- define "showrunner.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "showrunner.name" .) }}
{{- end }}

{{/* What ends an installation: its account, Job, role and, apart from the operator's, its pods' labels. */}}
{{- define "showrunner.drain" -}}
{{ include "showrunner.name" . }}-drain
{{- end }}

{{- define "showrunner.drainSelector" -}}
app.kubernetes.io/name: showrunner
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: drain
{{- end }}

{{/* Whom the operator's rights are given to: itself and, at the end, what takes everything down. */}}
{{- define "showrunner.subjects" -}}
- { kind: ServiceAccount, name: {{ include "showrunner.serviceAccount" . }}, namespace: {{ .Release.Namespace }} }
{{- if .Values.uninstall.enabled }}
- { kind: ServiceAccount, name: {{ include "showrunner.drain" . }}, namespace: {{ .Release.Namespace }} }
{{- end }}
{{- end }}

{{- define "showrunner.selector" -}}
app.kubernetes.io/name: showrunner
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "showrunner.labels" -}}
{{ include "showrunner.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: showrunner
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* An image reference: repository, then digest or tag. */}}
{{- define "showrunner.image" -}}
{{- $image := index . 0 }}{{ $root := index . 1 -}}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}
{{- else }}{{ $image.repository }}:{{ $image.tag | default $root.Chart.AppVersion }}{{ end }}
{{- end }}

{{/* The Secret with a store's credentials: the one that exists, or the one this chart makes; nothing for a public store. */}}
{{- define "showrunner.storeSecret" -}}
{{- $name := index . 0 }}{{ $store := index . 1 }}{{ $root := index . 2 -}}
{{- with $store.credentials }}{{ .existingSecret | default (printf "%s-store-%s" (include "showrunner.name" $root) $name) }}{{ end }}
{{- end }}

{{/* Ports of a store in a network policy: those given, else the URL's. */}}
{{- define "showrunner.storePorts" -}}
{{- $url := index . 0 }}{{ $store := index . 1 -}}
{{- $parsed := urlParse $url }}
{{- $port := regexFind ":[0-9]+$" $parsed.host | trimPrefix ":" | default (ternary "443" "80" (eq $parsed.scheme "https")) -}}
{{- range $store.ports | default (list $port) }}
- { port: {{ . }}, protocol: TCP }
{{- end }}
{{- end }}

{{/* ClusterRole of those who may look inside. */}}
{{- define "showrunner.debugRole" -}}
{{ include "showrunner.name" . }}-debug
{{- end }}

{{/* Namespaces with policies for job pods, as a JSON list. */}}
{{- define "showrunner.jobNamespaces" -}}
{{- $watched := .Values.watchNamespaces | default (list .Release.Namespace) -}}
{{- concat $watched .Values.networkPolicy.jobNamespaces | uniq | sortAlpha | toJson }}
{{- end }}

{{/* What the operator may do in a namespace that it serves. */}}
{{- define "showrunner.rules" -}}
# What people asked for: read, our finalizer put on and taken off. Nothing else of it is ever written.
- apiGroups: [showrunner.dev]
  resources: [titleenrichments]
  verbs: [list, watch, patch]
- apiGroups: [showrunner.dev]
  resources: [titleenrichments/status]
  verbs: [patch]
# Jobs: made suspended, admitted, taken back, settled, removed.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
# Their pods: watched, let go when they have ended.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}
