"""Requests tokens from IMDS without a pause from its start on, and counts the answers.

hammer.py MARK [COUNT]: sends COUNT requests, or runs until /signal/stop exists. Each request contains
MARK. Prints a line when the answer differs from the previous one, and at the end the counts by answer
as JSON.
"""

import json
import signal
import socket
import sys
import time
from base64 import urlsafe_b64decode
from collections import Counter
from pathlib import Path

REQUEST = (
    "GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net"
    f"&mark={sys.argv[1]} HTTP/1.1\r\nHost: 169.254.169.254\r\nMetadata: true\r\nConnection: close\r\n\r\n"
).encode()


def ask():
    """The outcome of one request: the client id in the token, or the error."""
    try:
        with socket.create_connection(("169.254.169.254", 80), timeout=1) as connection:
            connection.sendall(REQUEST)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
    except OSError as error:
        return type(error).__name__
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"access_token" not in body:
        return head.split(b"\r\n")[0].decode() or "no answer"
    payload = json.loads(body)["access_token"].split(".")[1]
    return json.loads(urlsafe_b64decode(payload + "=="))["appid"]


count = int(sys.argv[2]) if len(sys.argv) > 2 else None
seen, last = Counter(), None
while count is None and not Path("/signal/stop").exists() or count and sum(seen.values()) < count:
    outcome = ask()
    seen[outcome] += 1
    if outcome != last:
        print(outcome, flush=True)
        last = outcome
    time.sleep(0.005)
print(json.dumps(seen), flush=True)
if count is None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    signal.pause()
