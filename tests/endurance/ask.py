"""Starts an SDK's client again and again for one token each, until /signal/stop exists.

Prints a line when the outcome differs from the previous one, and at the end the counts by outcome as
JSON.
"""

import json
import signal
import subprocess
import time
from base64 import urlsafe_b64decode
from collections import Counter
from pathlib import Path

PAUSE_SECONDS = 20


def ask():
    """The outcome of one process: the client id in its token, or its error."""
    done = subprocess.run(
        ["/bin/sh", "-c", "/client/client 2>/tmp/errors"],
        input="managed https://vault.azure.net\n",
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = done.stdout.splitlines()
    if not lines:
        return f"exit code {done.returncode}: {Path('/tmp/errors').read_text()[-200:]}"
    answer = json.loads(lines[0])
    if not answer.get("token"):
        return " ".join(answer["error"].split())[:200]
    payload = answer["token"].split(".")[1]
    return json.loads(urlsafe_b64decode(payload + "=="))["appid"]


seen, last = Counter(), None
while not Path("/signal/stop").exists():
    outcome = ask()
    seen[outcome] += 1
    if outcome != last:
        print(outcome, flush=True)
        last = outcome
    for _ in range(PAUSE_SECONDS):
        if not Path("/signal/stop").exists():
            time.sleep(1)
print(json.dumps(seen), flush=True)
signal.signal(signal.SIGTERM, lambda *_: exit())
signal.pause()
