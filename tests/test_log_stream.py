"""A log router that does not read costs a bounded time and some lines, never the run."""

import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import closing
from typing import TextIO

import pytest

from worker.mask import Mask
from worker.report.log_line import JsonLine
from worker.report.log_stream import LogStream


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, closing(os.fdopen(reading, "rb")) as reader:
        yield reader.fileno(), stream


def logger_into(stream: TextIO, patience_s: float) -> logging.Logger:
    """Give a logger of its own that writes JSON lines into a stream."""
    lines = LogStream(stream, patience_s)
    lines.setFormatter(JsonLine(Mask(), {}))
    logger = logging.Logger("test")
    logger.addHandler(lines)
    return logger


def test_log_stream_writes_into_a_pipe(pipe: tuple[int, TextIO]) -> None:
    """Into a pipe that is read, every line goes whole, long ones too."""
    reading, stream = pipe
    logger = logger_into(stream, 5)
    logger.info("short")
    logger.info("x" * 7_000)
    short, long = os.read(reading, 65_536).decode().splitlines()
    assert json.loads(short)["event"] == "short"
    assert json.loads(long)["event"] == "x" * 7_000


def test_log_stream_waits_for_a_stuck_reader_only_so_long(pipe: tuple[int, TextIO]) -> None:
    """With nobody reading, lines are dropped after the patience is spent; later it says how many, and goes on whole."""
    reading, stream = pipe
    logger = logger_into(stream, 0.2)
    began = time.monotonic()
    for number in range(200):
        logger.info("line %d %s", number, "x" * 5_000, extra={"more": "y" * 5_000})
    assert time.monotonic() - began < 5
    first = os.read(reading, 1_000_000)
    logger.info("after")
    *earlier, dropped, after = (first + os.read(reading, 1_000_000)).decode().splitlines()
    told = json.loads(dropped)
    whole = [line for line in earlier if line.endswith("}")]
    assert [json.loads(line)["event"].split()[1] for line in whole] == [str(n) for n in range(len(whole))]
    assert len(earlier) - len(whole) == 1, "one line is torn, and what follows begins on its own"
    assert told["event"].startswith(f"{200 - len(whole)} log lines were dropped")
    assert told["level"] == "warning"
    assert json.loads(after)["event"] == "after"


def test_log_stream_survives_a_reader_that_went_away() -> None:
    """A broken pipe and a closed stream are no reason to fail."""
    reading, writing = os.pipe()
    stream = os.fdopen(writing, "w")
    logger = logger_into(stream, 0.2)
    os.close(reading)
    logger.info("nobody reads this")
    stream.close()
    logger.info("nobody can read this")


def test_log_stream_writes_into_a_file(tmp_path: object) -> None:
    """A file never makes its writer wait: it is simply written."""
    path = os.path.join(str(tmp_path), "log")  # noqa: PTH118
    with open(path, "w") as stream:  # noqa: PTH123
        logger_into(stream, 0).info("hello")
        with open(path) as written:  # noqa: PTH123
            assert json.loads(written.read())["event"] == "hello"
