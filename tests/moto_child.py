"""AWS on this machine in a process of its own: moto, on a free port that it prints, until its standard input ends.

A line of input `[bucket, {key: text, …}]` puts objects there by a back door, many times faster than HTTP; it answers `done`.
"""

import json
import sys

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

if __name__ == "__main__":
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    print(server.get_host_and_port()[1], flush=True)
    for line in sys.stdin:
        bucket, bodies = json.loads(line)
        for key, text in bodies.items():
            s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(bucket, key, text.encode())
        print("done", flush=True)
    server.stop()
