"""Datadog's intake of series, over real HTTP: it takes what `POST /api/v2/series` documents, and nothing else."""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "0123456789abcdef0123456789abcdef"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,199}")
_TAG = re.compile(r"[a-z][\w./-]*:[\w./:-]{1,190}")
_FIELDS = {"metric", "type", "points", "tags", "unit", "interval", "resources", "metadata", "source_type_name"}


class Intake(ThreadingHTTPServer):
    """Keeps the points that it took: of two with the same name, tags and second the later one."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.points: dict[tuple[str, frozenset[str], int], float] = {}
        self.refused: list[str] = []
        self.down = False

    @property
    def url(self) -> str:
        """Give its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def tags(self) -> list[dict[str, str]]:
        """Give the tags of each point."""
        return [dict(tag.split(":", 1) for tag in tags) for _, tags, _ in self.points]

    def take(self, body: Any) -> str:
        """Take a payload; say what is wrong with it."""
        if not isinstance(body, dict) or set(body) != {"series"} or not body["series"]:
            return "series is required"
        for series in body["series"]:
            if unknown := set(series) - _FIELDS:
                return f"unknown fields {unknown}"
            if not _NAME.fullmatch(series.get("metric", "")) or series.get("type") not in (0, 1, 2, 3):
                return f"no metric: {series}"
            if not all(isinstance(tag, str) and _TAG.fullmatch(tag) for tag in series.get("tags", ())):
                return f"no tags: {series['tags']}"
            for point in series["points"]:
                when, value = point["timestamp"], point["value"]
                if type(when) is not int or not -3_600 < when - time.time() < 600 or type(value) not in (int, float):
                    return f"no point of the last hour: {point}"
                self.points[series["metric"], frozenset(series["tags"]), when] = value
        return ""


class _Request(BaseHTTPRequestHandler):
    server: Intake

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.down:
            return self._answer(503, "unavailable")
        if self.headers.get("DD-API-KEY") != KEY:
            return self._answer(403, "Forbidden")
        if self.path != "/api/v2/series" or self.headers.get("Content-Type") != "application/json":
            return self._answer(404, self.path)
        return self._answer(*((400, wrong) if (wrong := self.server.take(json.loads(body))) else (202, "")))

    def _answer(self, status: int, error: str) -> None:
        if error:
            self.server.refused.append(error)
        body = json.dumps({"errors": [error] if error else []}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the base class
        """Say nothing."""


@contextmanager
def intake() -> Iterator[Intake]:
    """Run one."""
    with Intake() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
