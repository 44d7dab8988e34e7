"""msrestazure: MSIAuthentication."""

from functools import lru_cache

from msrestazure.azure_active_directory import MSIAuthentication

import lines


@lru_cache(maxsize=None)
def credential(resource, client_id):
    selector = {"client_id": client_id} if client_id else {}
    return MSIAuthentication(resource=resource, **selector)


def managed(resource, client_id):
    found = credential(resource, client_id)
    found.set_token()
    return found.token["access_token"], found.token["expires_on"]


lines.serve(managed)
