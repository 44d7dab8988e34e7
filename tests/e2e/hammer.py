"""Asks IMDS for tokens without pause from its first instant on, and tells what it saw.

hammer.py MARK [COUNT]: so many requests, else until /signal/stop exists. Each change of what happens
is a line; the last line is JSON: how often each thing happened. MARK is in every request.
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
    """What one request came to: whose token it got, or why none."""
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
    came = ask()
    seen[came] += 1
    if came != last:
        print(came, flush=True)
        last = came
    time.sleep(0.005)
print(json.dumps(seen), flush=True)
if count is None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    signal.pause()
