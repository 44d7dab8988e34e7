{{- /* The user's labels never replace the chart's own, by which other objects select. */}}
{{- define "workload-identity.labels" -}}
{{- $own := dict
  "app.kubernetes.io/name" .Chart.Name
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version)
  "azure-workload-identity.io/system" "true" }}
{{- merge $own (.Values.commonLabels | default dict) | toYaml }}
{{- end }}

{{- define "workload-identity.podLabels" -}}
{{- $own := merge (include "workload-identity.selector" . | fromYaml) (include "workload-identity.labels" . | fromYaml) }}
{{- merge $own (.Values.podLabels | default dict) | toYaml }}
{{- end }}

{{- /* Upstream's selector (Azure/azure-workload-identity). A Deployment's selector cannot change, and its releases can be upgraded to this chart. */}}
{{- define "workload-identity.selector" -}}
app: {{ .Chart.Name }}
azure-workload-identity.io/system: "true"
chart: {{ .Chart.Name }}
release: {{ .Release.Name | quote }}
{{- end }}

{{- /* An image: (dict "name" NAME "image" IMAGE "chart" CHART). */}}
{{- define "workload-identity.image" -}}
{{- $repository := .image.repository | trimSuffix "/" | trimSuffix "/webhook" }}
{{- with .image.registry }}
{{- $host := first (splitList "/" $repository) }}
{{- if or (contains "." $host) (contains ":" $host) (eq $host "localhost") }}
{{- $repository = trimPrefix (printf "%s/" $host) $repository }}
{{- end }}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $repository }}
{{- end }}
{{- if .image.digest }}
{{- printf "%s/%s@%s" $repository .name .image.digest }}
{{- else }}
{{- printf "%s/%s:%s" $repository .name (.image.release | default .chart.AppVersion) }}
{{- end }}
{{- end }}

{{- define "workload-identity.webhookImage" -}}
{{ include "workload-identity.image" (dict "name" "webhook" "image" .Values.image "chart" .Chart) }}
{{- end }}

{{- /* Empty fields of proxy.image are those of image, except the digest, which identifies one image. */}}
{{- define "workload-identity.proxyImage" -}}
{{- $image := dict }}
{{- range list "registry" "repository" "release" }}
{{- $_ := set $image . (get $.Values.proxy.image . | default (get $.Values.image .)) }}
{{- end }}
{{- $_ := set $image "digest" .Values.proxy.image.digest }}
{{- include "workload-identity.image" (dict "name" "proxy" "image" $image "chart" .Chart) }}
{{- end }}

{{- /* The port in an address such as :8095. */}}
{{- define "workload-identity.port" -}}
{{ last (splitList ":" .) }}
{{- end }}

{{- /* Whether the webhook creates its own certificate. */}}
{{- define "workload-identity.ownCertificate" -}}
{{- if eq .Values.certificates.mode "own" }}true{{ end }}
{{- end }}

{{- /* The Secret with a certificate that cert-manager or another tool renews. */}}
{{- define "workload-identity.certificateSecret" -}}
{{- if eq .Values.certificates.mode "files" }}
{{- required "certificates.secretName is required with certificates.mode files: the Secret with tls.crt and tls.key" .Values.certificates.secretName }}
{{- else }}
{{- .Values.certificates.secretName | default "azure-wi-webhook-certificate" }}
{{- end }}
{{- end }}

{{- define "workload-identity.volumeMounts" -}}
{{- if not (include "workload-identity.ownCertificate" .) }}
- name: certificate
  mountPath: /certs
  readOnly: true
{{- end }}
{{- if .Values.proxy.caBundle }}
- name: proxy-ca
  mountPath: /etc/azure-workload-identity/proxy-ca
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "workload-identity.volumes" -}}
{{- if not (include "workload-identity.ownCertificate" .) }}
- name: certificate
  secret:
    secretName: {{ include "workload-identity.certificateSecret" . }}
{{- end }}
{{- if .Values.proxy.caBundle }}
- name: proxy-ca
  configMap:
    name: azure-wi-webhook-proxy-ca
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
