"""Sends events that the official SDK makes, all at one time, and prints the statuses.

Reads from standard input: {"url": …, "bucket": …, "keys": […], "mode": "binary" or "structured"}
"""

import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent

asked = json.load(sys.stdin)
make = {"binary": to_binary, "structured": to_structured}[asked["mode"]]


def send(key):
    attributes = {
        "type": "google.cloud.storage.object.v1.finalized",
        "source": f"//storage.googleapis.com/projects/_/buckets/{asked['bucket']}",
        "subject": f"objects/{key}",
        "datacontenttype": "application/json",
    }
    data = {"kind": "storage#object", "bucket": asked["bucket"], "name": key, "contentType": "text/csv"}
    headers, body = make(CloudEvent(attributes, data))
    # The SDK leaves attributes that are no ASCII to whoever sends them.
    headers = {name: urllib.parse.quote(value, safe=":/ ") if name.startswith("ce-") else value
               for name, value in headers.items()}
    request = urllib.request.Request(asked["url"], data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return f"{refused.code} {refused.read().decode()}"


with ThreadPoolExecutor(max_workers=len(asked["keys"])) as pool:
    json.dump(list(pool.map(send, asked["keys"])), sys.stdout)
