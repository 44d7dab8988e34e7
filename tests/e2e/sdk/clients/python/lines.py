"""The protocol of every client here: a line of standard input, a line of JSON."""

import json
import sys


def serve(managed, default=None):
    """Answers each line `WAY RESOURCE [CLIENT_ID]` with a token or with what the SDK says.

    Both functions take the resource and the client id, or None, and return the token and when it
    expires, in seconds since 1970.
    """
    ways = {"managed": managed, "default": default}
    for line in sys.stdin:
        way, resource, *client_id = line.split()
        try:
            token, expires_on = ways[way](resource, *client_id or [None])
            answer = {"token": token, "expires_on": int(expires_on)}
        except Exception as error:  # pylint: disable=broad-except
            answer = {"error": ": ".join(causes(error))}
        print(json.dumps(answer), flush=True)


def causes(error):
    """An error and what it comes from, as a traceback shows them."""
    while error:
        yield f"{type(error).__name__}: {error}"
        error = error.__cause__ or error.__context__
