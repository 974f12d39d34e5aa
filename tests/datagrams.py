"""Read DogStatsD datagrams strictly: "Datagram Format and Shell Usage" in Datadog's documentation, protocol v1.3."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_METRIC = re.compile(
    r"(?P<name>[A-Za-z][A-Za-z0-9_.]{0,199}):(?P<values>-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?::-?\d+(?:\.\d+)?)*)"
    r"\|(?P<type>c|g|ms|h|s|d)"
    r"(?:\|@(?P<rate>0?\.\d+|1(?:\.0+)?))?"
    r"(?:\|\#(?P<tags>[^|,\s]+(?:,[^|,\s]+)*))?"
    r"(?:\|c:(?P<container>[^|\s]+))?"
    r"(?:\|T(?P<timestamp>\d+))?"
)
_LONGEST = {socket.AF_INET: 1432, socket.AF_UNIX: 8192}


class Received(NamedTuple):
    """One value of one metric, as the agent would take it."""

    name: str
    value: float
    type: str
    tags: dict[str, str]


def parse(datagram: bytes) -> list[Received]:
    """Give what a datagram says; raises ValueError for whatever the format does not allow."""
    text = datagram.decode("utf-8").removesuffix("\n")
    return [received for line in text.split("\n") for received in _parse_line(line)]


def _parse_line(line: str) -> Iterator[Received]:
    match = _METRIC.fullmatch(line)
    if match is None:
        raise ValueError(f"not a metric: {line!r}")
    tags = [tag.partition(":")[::2] for tag in (match["tags"] or "").split(",") if tag]
    if len(dict(tags)) != len(tags):
        raise ValueError(f"a tag is there twice: {line!r}")
    for value in match["values"].split(":"):
        yield Received(match["name"], float(value), match["type"], dict(tags))


class Agent:
    """A Datadog Agent's ear: it reads datagrams until one says that the run has ended."""

    def __init__(self, listening: socket.socket, url: str) -> None:
        self.url = url
        self._socket = listening
        self._received: list[Received] = []
        self._thread = threading.Thread(target=self._listen)

    def _listen(self) -> None:
        longest = _LONGEST[socket.AddressFamily(self._socket.family)]
        while not any(received.name == "worker.run.ended" for received in self._received):
            datagram = self._socket.recv(65536)
            assert len(datagram) <= longest
            self._received += parse(datagram)

    def start(self) -> None:
        """Begin to listen."""
        self._socket.settimeout(10)
        self._thread.start()

    def heard(self) -> list[Received]:
        """Give all that was said, once the run has ended."""
        self._thread.join()
        return self._received


@contextmanager
def agent(transport: str, folder: Path) -> Iterator[Agent]:
    """Listen as an agent does, by `udp` or by `unix`."""
    family = socket.AF_INET if transport == "udp" else socket.AF_UNIX
    with socket.socket(family, socket.SOCK_DGRAM) as listening:
        if transport == "udp":
            listening.bind(("127.0.0.1", 0))
            url = f"udp://127.0.0.1:{listening.getsockname()[1]}"
        else:
            listening.bind(str(folder / "dsd.socket"))
            url = f"unix://{folder / 'dsd.socket'}"
        ear = Agent(listening, url)
        ear.start()
        yield ear
        ear.heard()
