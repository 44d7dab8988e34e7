{{- /*
Included first by every template. --reuse-values leaves out the values that the previous chart does not have, and
templates would end in a nil pointer.
*/}}
{{- define "workload-identity.check" -}}
{{- $missing := list }}
{{- range list "autoscaling" "certificates" "customTokenEndpoint" "image" "networkPolicy" "prometheusRule" "proxy" "proxyInit" "service" "serviceAccount" "serviceMonitor" "dashboard" "azwi" "guard" "audit" }}
{{- if not (kindIs "map" (get $.Values .)) }}{{ $missing = append $missing . }}{{ end }}
{{- end }}
{{- range list "audit" "proxy" }}
{{- $values := get $.Values . }}
{{- if and $values (not (kindIs "map" (get $values "image"))) }}{{ $missing = append $missing (printf "%s.image" .) }}{{ end }}
{{- end }}
{{- with $missing }}
{{- fail (printf "the values lack %s: helm upgrade --reuse-values keeps only the previous chart's values. Use --reset-then-reuse-values (helm 3.14 or newer), or --values with your own values" (join ", " .)) }}
{{- end }}
{{- end }}

{{- /* Upstream's name of the app: a part of the Deployment's selector. */}}
{{- define "workload-identity.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* The user's labels never replace the chart's own, by which other objects select. */}}
{{- define "workload-identity.labels" -}}
{{- $own := merge (include "workload-identity.selector" . | fromYaml) (dict
  "app.kubernetes.io/name" (include "workload-identity.name" .)
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version)) }}
{{- merge $own (.Values.commonLabels | default dict) | toYaml }}
{{- end }}

{{- define "workload-identity.podLabels" -}}
{{- merge (include "workload-identity.labels" . | fromYaml) (.Values.podLabels | default dict) | toYaml }}
{{- end }}

{{- /* Upstream's selector (Azure/azure-workload-identity). A Deployment's selector cannot change, and its releases can be upgraded to this chart. */}}
{{- define "workload-identity.selector" -}}
app: {{ include "workload-identity.name" . | quote }}
azure-workload-identity.io/system: "true"
chart: {{ include "workload-identity.name" . | quote }}
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
{{- /* A release beside the digest only tells people, azwi and the audit which version it is. */}}
{{- $tag := .image.release | default "" | printf ":%s" | trimSuffix ":" }}
{{- printf "%s/%s%s@%s" $repository .name $tag .image.digest }}
{{- else }}
{{- printf "%s/%s:%s" $repository .name (.image.release | default .chart.AppVersion) }}
{{- end }}
{{- end }}

{{- define "workload-identity.webhookImage" -}}
{{ include "workload-identity.image" (dict "name" "webhook" "image" .Values.image "chart" .Chart) }}
{{- end }}

{{- define "workload-identity.proxyImage" -}}
{{ include "workload-identity.otherImage" (dict "name" "proxy" "own" .Values.proxy.image "values" .Values "chart" .Chart) }}
{{- end }}

{{- define "workload-identity.azwiImage" -}}
{{ include "workload-identity.otherImage" (dict "name" "azwi" "own" .Values.audit.image "values" .Values "chart" .Chart) }}
{{- end }}

{{- /* Empty fields of an image of its own are those of image, except the digest, which identifies one image. */}}
{{- define "workload-identity.otherImage" -}}
{{- $image := dict }}
{{- range list "registry" "repository" "release" }}
{{- $_ := set $image . (get $.own . | default (get $.values.image .)) }}
{{- end }}
{{- $_ := set $image "digest" .own.digest }}
{{- include "workload-identity.image" (dict "name" .name "image" $image "chart" .chart) }}
{{- end }}

{{- /* A setting of the webhook: (dict "values" VALUES "flag" FLAG "value" VALUE). A flag in extraArgs wins, as it does in the webhook. */}}
{{- define "workload-identity.setting" -}}
{{- $value := .value }}
{{- $prefix := printf "--%s=" .flag }}
{{- range .values.extraArgs }}
{{- if hasPrefix $prefix . }}{{ $value = trimPrefix $prefix . }}{{ end }}
{{- end }}
{{- $value }}
{{- end }}

{{- /* The audiences of the webhook's tokens, as JSON. */}}
{{- define "workload-identity.audiences" -}}
{{- $audiences := list (include "workload-identity.setting" (dict "values" .Values "flag" "audience" "value" .Values.audience) | default "api://AzureADTokenExchange") }}
{{- with include "workload-identity.setting" (dict "values" .Values "flag" "custom-token-endpoint-audience" "value" .Values.customTokenEndpoint.audience) }}
{{- $audiences = append $audiences . }}
{{- end }}
{{- toJson $audiences }}
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

{{- /* Where the webhook reads the authorities that proxies trust; empty if there are none. */}}
{{- define "workload-identity.proxyCa" -}}
{{- with .Values.proxy }}
{{- if and .caBundle .caTrustBundle }}
{{- fail "proxy.caBundle and proxy.caTrustBundle exclude each other: put all authorities into one of them" }}
{{- else if .caBundle }}
configMap:
  name: azure-wi-webhook-proxy-ca
{{- else if .caTrustBundle }}
{{- if semverCompare "<1.33-0" $.Capabilities.KubeVersion.Version }}
{{- fail (printf "proxy.caTrustBundle needs ClusterTrustBundles, which Kubernetes %s does not have: use proxy.caBundle" $.Capabilities.KubeVersion.Version) }}
{{- end }}
projected:
  sources:
    - clusterTrustBundle:
        path: ca.crt
        {{- toYaml .caTrustBundle | nindent 8 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "workload-identity.volumeMounts" -}}
{{- if not (include "workload-identity.ownCertificate" .) }}
- name: certificate
  mountPath: /certs
  readOnly: true
{{- end }}
{{- if include "workload-identity.proxyCa" . }}
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
{{- with include "workload-identity.proxyCa" . }}
- name: proxy-ca
  {{- trim . | nindent 2 }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /*
The budget's own field. One that leaves no replica to evict would block the drain of a node for ever, as minAvailable 1
with one replica, or maxUnavailable 0: then one may be evicted. A minAvailable of nothing counts as absent, as in
upstream's chart.
*/}}
{{- define "workload-identity.disruption" -}}
{{- $budget := .Values.podDisruptionBudget }}
{{- $replicas := ternary .Values.autoscaling.minReplicas .Values.replicaCount .Values.autoscaling.enabled | int }}
{{- $wanted := $budget.minAvailable | default "" | toString }}
{{- $needed := atoi (trimSuffix "%" $wanted) }}
{{- if hasSuffix "%" $wanted }}
{{- $needed = ceil (divf (mul $replicas $needed) 100) | int }}
{{- end }}
{{- $none := list "" "0" "0%" }}
{{- if has $wanted $none }}
{{- if not (kindIs "invalid" $budget.maxUnavailable) }}
maxUnavailable: {{ ternary 1 $budget.maxUnavailable (has (toString $budget.maxUnavailable) $none) }}
{{- end }}
{{- else if ge $needed $replicas }}
maxUnavailable: 1
{{- else }}
minAvailable: {{ $budget.minAvailable }}
{{- end }}
{{- end }}
