"""Has an SDK's client ask for tokens again and again, each time as a new process, and tells what it got.

Each change of what happens is a line; the last line is JSON: how often each thing happened. It ends
when /signal/stop exists.
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
    """What one process came to: whose token it got, or why none."""
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
    came = ask()
    seen[came] += 1
    if came != last:
        print(came, flush=True)
        last = came
    for _ in range(PAUSE_SECONDS):
        if not Path("/signal/stop").exists():
            time.sleep(1)
print(json.dumps(seen), flush=True)
signal.signal(signal.SIGTERM, lambda *_: exit())
signal.pause()
