"""msrestazure: MSIAuthentication."""

from datetime import datetime
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
    return found.token["access_token"], seconds(found.token["expires_on"])


def seconds(expires_on):
    """IMDS says seconds, App Service's version of 2017 a date: the SDK hands on what it gets."""
    if expires_on.isdigit():
        return expires_on
    return datetime.strptime(expires_on, "%m/%d/%Y %I:%M:%S %p %z").timestamp()


lines.serve(managed)
