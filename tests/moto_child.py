"""AWS on this machine in a process of its own: moto, on a free port that it prints, until its standard input ends.

A line of input `[bucket, {key: text, …}]` puts objects there by a back door, many times faster than HTTP; it answers `done`.
moto sorts all of a bucket's objects for each page of a listing: it is given those that the page can be made of, and no others.
Its threads do not wait for one another between a condition and the write that stands on it, as DynamoDB's do: one call at a time.
"""

import bisect
import json
import sys
import threading
from types import SimpleNamespace
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.responses import DynamoHandler
from moto.s3.models import S3Backend, s3_backends
from moto.server import ThreadedMotoServer

_MANY = 10_000

whole = S3Backend.list_objects_v2
act = DynamoHandler.call_action
one_at_a_time = threading.Lock()
sorted_names: dict[str, list[str]] = {}


def list_objects_v2(backend: Any, *, bucket: Any, start_after: str | None, **asked: Any) -> Any:
    """List a page; of a large bucket, to which only the back door adds, out of the names that follow."""
    if len(bucket.keys) > _MANY and start_after:
        names = sorted_names[bucket.name]
        place = bisect.bisect_right(names, start_after)
        near = {name: bucket.keys[name] for name in names[place : place + 3 * asked["max_keys"]]}
        bucket = SimpleNamespace(keys=near, name=bucket.name)
    return whole(backend, bucket=bucket, start_after=start_after, **asked)


def call_action(handler: DynamoHandler) -> Any:
    """Answer one call to DynamoDB, and no other meanwhile."""
    with one_at_a_time:
        return act(handler)


if __name__ == "__main__":
    DynamoHandler.call_action = call_action  # type: ignore[method-assign]
    S3Backend.list_objects_v2 = list_objects_v2  # type: ignore[method-assign, assignment]
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    print(server.get_host_and_port()[1], flush=True)
    for line in sys.stdin:
        bucket, bodies = json.loads(line)
        backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        for key, text in bodies.items():
            backend.put_object(bucket, key, text.encode())
        sorted_names[bucket] = sorted(backend.get_bucket(bucket).keys)
        print("done", flush=True)
    server.stop()
