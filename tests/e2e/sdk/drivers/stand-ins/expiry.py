"""When a token expires, for drivers that do not tell."""

import base64
import json


def expiry(token):
    """The token's own claim, in seconds since 1970."""
    claims = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"]
