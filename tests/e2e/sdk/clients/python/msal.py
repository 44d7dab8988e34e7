"""msal: ManagedIdentityClient."""

from functools import lru_cache
from time import time

import msal
import requests

import lines


@lru_cache(maxsize=None)
def client(client_id):
    if client_id:
        identity = msal.UserAssignedManagedIdentity(client_id=client_id)
    else:
        identity = msal.SystemAssignedManagedIdentity()
    return msal.ManagedIdentityClient(identity, http_client=requests.Session())


def managed(resource, client_id):
    answer = client(client_id).acquire_token_for_client(resource=resource)
    if "access_token" not in answer:
        raise RuntimeError(f"{answer['error']}: {answer.get('error_description')}")
    return answer["access_token"], time() + answer["expires_in"]


lines.serve(managed)
