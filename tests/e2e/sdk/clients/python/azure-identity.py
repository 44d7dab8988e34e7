"""azure-identity: ManagedIdentityCredential and DefaultAzureCredential."""

from functools import lru_cache

from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

import lines


@lru_cache(maxsize=None)
def managed(client_id):
    return ManagedIdentityCredential(client_id=client_id)


@lru_cache(maxsize=None)
def default(client_id):
    return DefaultAzureCredential(managed_identity_client_id=client_id)


def token(credential):
    return lambda resource, client_id: credential(client_id).get_token(resource + "/.default")


lines.serve(token(managed), token(default))
