{{- define "workload-identity.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
azure-workload-identity.io/system: "true"
{{- end }}

{{- define "workload-identity.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
azure-workload-identity.io/system: "true"
{{- end }}

{{- define "workload-identity.release" -}}
{{ .Values.image.release | default .Chart.AppVersion }}
{{- end }}

{{- define "workload-identity.proxyImage" -}}
{{ .Values.image.repository }}/proxy:{{ include "workload-identity.release" . }}
{{- end }}
