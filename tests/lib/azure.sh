# Registers objects in the test node's emulated Azure, as `az` does in a real one. Sourced.

tenant=11111111-2222-3333-4444-555555555555
issuer="https://oidc.cluster.example/$tenant/"

# azure PATH JSON: posts to the emulator's control API.
azure() {
    curl --silent --show-error --fail-with-body --output /dev/null \
        --header 'Content-Type: application/json' --data "$2" "$AZURE_CONTROL/$1"
}

# register_cluster: registers the tenant, and the cluster as an issuer. Entra fetches the issuer's public keys.
register_cluster() {
    azure tenants "{\"id\": \"$tenant\"}"
    azure issuers "{\"issuer\": \"$issuer\", \"jwks_url\": \"https://192.0.2.10:6443/openid/v1/jwks\", \"ca_file\": \"$CLUSTER_API_CA\"}"
}

# register_identity CLIENT_ID NAMESPACE SERVICE_ACCOUNT: registers a managed identity with a federated credential.
register_identity() {
    azure applications "{\"tenant\": \"$tenant\", \"client_id\": \"$1\", \"federated_credentials\": [
        {\"issuer\": \"$issuer\", \"subject\": \"system:serviceaccount:$2:$3\"}]}"
}

# register_secret VAULT NAME VALUE CLIENT_ID: makes a key vault with a secret that an identity may read.
register_secret() {
    azure vaults "{\"name\": \"$1\", \"tenant\": \"$tenant\", \"readers\": [\"$4\"], \"secrets\": {\"$2\": \"$3\"}}"
}
