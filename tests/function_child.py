"""AWS Lambda on this machine: each invocation is a process of its own with the environment that it is given; prints its port.

A request is a line of JSON, `{"function": "launcher", "environment": {…}, "event": {…}}`; the answer is one too, `{"answer": …}`, or for what the
handler raises `{"errorType": …, "errorMessage": …}`, as Lambda answers. The libraries are imported before, once: an invocation is forked.
`per_task` sets for how many messages a job's backlog gets another task: what is thousands in earnest is tens in a test.
"""

import json
import os
import select
import sys
from dataclasses import replace
from socketserver import ForkingTCPServer, StreamRequestHandler
from typing import Any

from worker import registry
from worker.functions import launcher, reporter

FUNCTIONS = {"launcher": launcher.handler, "reporter": reporter.handler}


class Invocation(StreamRequestHandler):
    """Runs in the forked process."""

    def handle(self) -> None:
        """Read the request, call the handler, answer."""
        asked = json.loads(self.rfile.readline())
        os.environ.clear()
        os.environ.update(asked["environment"])
        for name, count in asked["per_task"].items():
            job = registry.load(name)
            assert job.backlog
            job.backlog = replace(job.backlog, per_task=count)
        self.wfile.write(json.dumps(_answer(asked["function"], asked["event"])).encode())


def _answer(function: str, event: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"answer": FUNCTIONS[function](event, None)}
    except Exception as error:  # noqa: BLE001 - as Lambda does
        return {"errorType": type(error).__name__, "errorMessage": str(error)}


class Functions(ForkingTCPServer):
    """Ends with its standard input."""

    def service_actions(self) -> None:
        """Look after ended invocations, and whether anybody still wants any."""
        super().service_actions()
        if select.select([sys.stdin], [], [], 0)[0]:
            sys.exit()


if __name__ == "__main__":
    with Functions(("127.0.0.1", 0), Invocation) as server:
        print(server.server_address[1], flush=True)
        sys.stdout = sys.stderr
        server.serve_forever(0.05)
