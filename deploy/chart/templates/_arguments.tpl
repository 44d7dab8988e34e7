{{- /* The webhook's flags. */}}
{{- define "workload-identity.arguments" -}}
{{- with .Values -}}
- --log-level={{ .logLevel }}
- --log-format={{ .logFormat }}
{{- if ne (int .service.targetPort) 9443 }}
- --port={{ .service.targetPort }}
{{- end }}
{{- if ne .healthAddr ":9440" }}
- --health-addr={{ .healthAddr }}
{{- end }}
- --metrics-addr={{ .metricsAddr }}
- --metrics-backend={{ lower .metricsBackend }}
{{- if not .metricsNamespaceLabel }}
- --metrics-namespace-label=false
{{- end }}
{{- with .tlsMinVersion }}
- --tls-min-version={{ . }}
{{- end }}
{{- if ne .certificates.mode "own" }}
- --disable-cert-rotation
- --webhook-cert-dir=/certs
{{- end }}
{{- with .authorityHost }}
- --authority-host={{ . }}
{{- end }}
{{- with .audience }}
- --audience={{ . }}
{{- end }}
{{- with .customTokenEndpoint.annotationSuffix }}
- --custom-token-endpoint-annotation-suffix={{ . }}
{{- end }}
{{- with .customTokenEndpoint.audience }}
- --custom-token-endpoint-audience={{ . }}
{{- end }}
- --native-sidecar={{ .nativeSidecar }}
- --proxy-image-pull-policy={{ .proxy.image.pullPolicy | default .image.pullPolicy }}
{{- with .proxy.mode }}
- --proxy-mode={{ . }}
{{- end }}
{{- with .proxy.logLevel }}
- --proxy-log-level={{ . }}
{{- end }}
{{- with .proxy.metricsPort }}
- --proxy-metrics-port={{ . }}
{{- end }}
{{- with .proxy.httpsProxy }}
- --proxy-https-proxy={{ . }}
{{- end }}
{{- with .proxy.noProxy }}
- --proxy-no-proxy={{ . }}
{{- end }}
{{- with .proxy.lingerSeconds }}
- --proxy-linger-seconds={{ . }}
{{- end }}
{{- if .proxy.loopback }}
- --proxy-loopback=on
{{- end }}
{{- if .proxy.quit }}
- --proxy-quit=on
{{- end }}
{{- with .proxy.relay }}
- --proxy-relay={{ . }}
{{- end }}
{{- if ne .proxy.seccompProfile "runtime/default" }}
- --proxy-seccomp-profile={{ .proxy.seccompProfile }}
{{- end }}
{{- with .proxy.resources }}
- --proxy-resources={{ toJson . }}
{{- end }}
{{- if .proxyInit.netRaw }}
- --proxy-init-net-raw
{{- end }}
{{- with .proxyInit.resources }}
- --proxy-init-resources={{ toJson . }}
{{- end }}
{{- if or .proxy.caBundle .proxy.caTrustBundle }}
- --proxy-ca-file=/etc/azure-workload-identity/proxy-ca/ca.crt
{{- end }}
{{- range .extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
