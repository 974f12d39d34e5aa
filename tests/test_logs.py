"""What anybody logs comes out as lines of one form."""

import asyncio
import json
import logging
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logged import Logged, Terminal, logging_to

from worker.mask import Mask
from worker.report import logs

log = logging.getLogger("jobs.example")


@pytest.fixture
def logged() -> Iterator[Logged]:
    with logging_to(Logged()) as stream:
        yield stream


def test_logs_have_one_form(logged: Logged) -> None:
    """A line says when, how bad, what, and whose run it belongs to."""
    logs.context(job="poll-payments", run_id="poll-payments:k", attempt=2, task_arn=None)
    before = datetime.now(UTC)
    log.info("asked %d times", 3, extra={"merchant_id": 42, "tags": ("a", "b")})
    line = logged.only()
    written = datetime.fromisoformat(line.pop("timestamp"))
    assert abs((written - before).total_seconds()) < 60
    assert line == {
        "level": "info",
        "event": "asked 3 times",
        "job": "poll-payments",
        "run_id": "poll-payments:k",
        "attempt": 2,
        "logger": "jobs.example",
        "merchant_id": 42,
        "tags": ["a", "b"],
    }


def test_logs_timestamp_is_utc_with_milliseconds(logged: Logged) -> None:
    """The time is ISO 8601 under `timestamp`: a key named `time` is swallowed by Fluent Bit's parser."""
    log.info("x", extra={"time": "noon"})
    line = logged.only()
    assert "time" not in line
    assert line["time_"] == "noon"
    assert line["timestamp"].endswith("Z")
    assert len(line["timestamp"]) == len("2026-11-22T06:30:00.000Z")


def test_logs_keep_a_field_that_is_named_like_the_context(logged: Logged) -> None:
    """A caller's field never hides what says which run a line belongs to, nor is it lost."""
    logs.context(job="poll-payments")
    log.info("x", extra={"job": "mine", "level": 7})
    assert logged.only() | {"job": "poll-payments", "job_": "mine", "level_": 7, "level": "info"} == logged.only()


def test_logs_put_an_exception_into_one_field(logged: Logged) -> None:
    """Type, message and the stack with its causes are one field of the same line."""
    try:
        try:
            raise KeyError("id")
        except KeyError as error:
            raise ValueError("no id") from error
    except ValueError:
        log.exception("broken")
    raised = logged.only()["exception"]
    assert (raised["type"], raised["message"]) == ("ValueError", "no id")
    assert "KeyError: 'id'" in raised["stack"]
    assert "test_logs_put_an_exception" in raised["stack"]


def test_logs_take_an_exception_that_is_not_there(logged: Logged) -> None:
    """`exc_info=True` outside of an except block costs nothing."""
    log.error("broken", exc_info=True)
    assert "exception" not in logged.only()


def test_logs_show_where_a_line_came_from_when_asked(logged: Logged) -> None:
    """`stack_info=True` gives the stack without an exception."""
    log.info("here", stack_info=True)
    assert "test_logs_show_where" in logged.only()["exception"]["stack"]


@pytest.mark.parametrize("name", ["aiobotocore.credentials", "botocore.credentials"])
def test_logs_leave_out_where_credentials_were_found(logged: Logged, name: str) -> None:
    """Each client would tell it again; what goes wrong is said."""
    logging.getLogger(name).info("Found credentials in environment variables.")
    logging.getLogger(name).warning("Refreshing them failed.")
    assert logged.only()["event"] == "Refreshing them failed."


def test_logs_carry_warnings(logged: Logged) -> None:
    """What a library warns about is a line like the others."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)  # catch_warnings has put back what configure replaced
        warnings.warn("old thing", DeprecationWarning, stacklevel=1)
    line = logged.only()
    assert (line["level"], line["logger"]) == ("warning", "py.warnings")
    assert "DeprecationWarning: old thing" in line["event"]


def test_logs_mask_secrets_everywhere() -> None:
    """No secret is in any line: not in the message, fields, their names, nor stack traces; not half of it where a text was cut."""
    secret = 'p"ss\\word-' + "x" * 30
    with logging_to(Logged(), mask=Mask([secret])) as logged:
        logs.context(job=secret)
        try:
            raise ValueError(f"refused {secret}")
        except ValueError:
            log.exception(
                "with %s",
                secret,
                extra={"deep": [{secret: (secret.encode(), {secret})}], "cut": "y" * 3_990 + secret + "y" * 9_000},
            )
    text = json.dumps(logged.only())
    assert "***" in text
    assert "ss\\\\\\\\word" not in text
    assert "word-" not in text
    assert "xxx" not in text


def test_logs_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a stream, lines go to standard output, none to standard error."""
    with logging_to(None):
        log.info("hello")
    captured = capsys.readouterr()
    assert json.loads(captured.out)["event"] == "hello"
    assert captured.err == ""


def test_logs_respect_the_level() -> None:
    """LOG_LEVEL decides what is said."""
    with logging_to(Logged(), level="warning") as logged:
        log.info("no")
        log.warning("yes")
    assert logged.only()["event"] == "yes"


class Nasty:
    """A value that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


def recursive() -> list[Any]:
    """Give a list that holds itself, many times."""
    inner: list[Any] = []
    inner.extend([inner, {"again": inner}] * 20)
    return inner


@pytest.mark.parametrize(
    ("message", "args"),
    [
        ("%d of %s", ("three",)),
        ("%s", (Nasty(),)),
        ("%(name)s", ({"other": 1},)),
        (Nasty(), ()),
        ("\ud800 half a character", ()),
        ("%s", (b"\xff\x00",)),
        ("line\nbreak \x00 \u2028", ()),
    ],
)
def test_logs_lose_no_line(message: Any, args: tuple[Any, ...]) -> None:
    """Whatever is wrong with a message or its arguments, its line is there and is JSON."""
    with logging_to(Logged()) as logged:  # in here, where pytest's own log capture does not listen, as it would raise
        log.error(message, *args)
    assert logged.only()["level"] == "error"


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("-inf"),
        10**400,
        b"\xff",
        "\udfff",
        Nasty(),
        recursive(),
        {1: {None: Nasty}},
        range(9),
        object,
    ],
    ids=lambda value: type(value).__name__,
)
def test_logs_lose_no_field(logged: Logged, value: Any) -> None:
    """Whatever a field holds, it is shown somehow."""
    log.info("x", extra={"value": value})
    assert logged.only()["value"] is not None


@pytest.mark.parametrize(
    "huge", [{"value": "é" * 100_000}, {f"key{n}": "v" * 90 for n in range(5_000)}, {"value": ["x" * 50] * 90_000}]
)
def test_logs_fit_into_a_line_of_16_kib(logged: Logged, huge: dict[str, Any]) -> None:
    """Docker cuts longer lines, and then they are no JSON any more."""
    log.error("huge" * 10_000, extra=huge)
    assert logged.only()["event"].startswith("hugehuge")
    assert len(logged.getvalue().encode()) <= 16 * 1024


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.none(), inner),
)


@given(message=st.text(), args=st.lists(st.integers() | st.text(), max_size=3), value=VALUES)
def test_logs_are_always_one_json_object_a_line(message: str, args: list[Any], value: Any) -> None:
    """No text and no value breaks the form."""
    with logging_to(Logged()) as logged:
        log.warning(message, *args, extra={"value": value})
    assert logged.getvalue().count("\n") == 1
    assert logged.only()["logger"] == "jobs.example"


def test_logs_tell_what_nobody_caught(logged: Logged) -> None:
    """Errors that end the main thread, a thread, or a task that nobody awaited are lines too."""
    error = ValueError("lost")
    logs.log_uncaught(ValueError, error, None)
    threading.excepthook = logs.log_uncaught_in_thread
    thread = threading.Thread(target=lambda: 1 / 0, name="pump")
    thread.start()
    thread.join()
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(logs.log_uncaught_in_loop)
    loop.call_exception_handler({"message": "Task exception was never retrieved", "exception": error})
    loop.close()
    main, pump, task = logged.lines()
    assert (main["level"], main["exception"]["message"]) == ("critical", "lost")
    assert (pump["event"], pump["exception"]["type"]) == (
        "uncaught ZeroDivisionError in thread pump",
        "ZeroDivisionError",
    )
    assert (task["event"], task["exception"]["type"]) == (
        "uncaught in asyncio: Task exception was never retrieved",
        "ValueError",
    )


def test_logs_are_short_text_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """People get time, level, event and fields, in colour; the context they know."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    with logging_to(Terminal(), log_format=None) as logged:
        logs.context(job="poll-payments")
        log.warning("slow \x1b[2J page", extra={"page": 3, "why": "two words", "open": None, "deep": {"a": 1}})
    assert logged.getvalue()[8:] == ' \x1b[33mwarning\x1b[0m slow \\x1b[2J page  page=3 why="two words" open=null\n'


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_logs_have_no_colour_where_it_is_unwanted(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """NO_COLOR and a terminal that cannot are respected."""
    monkeypatch.setenv(name, value)
    with logging_to(Terminal(), log_format="text") as logged:
        log.info("plain")
    assert logged.getvalue()[8:] == " info    plain\n"


def test_logs_text_has_no_more_digits_than_people_read() -> None:
    """Milliseconds are enough; what is small keeps three digits; what is whole, all."""
    with logging_to(Logged(), log_format="text") as text:
        log.info("x", extra={"a": 10.334363678000045, "b": -0.000123456, "c": 1234567.0, "d": 2**60, "e": 0.0})
    assert text.getvalue().endswith(f"  a=10.334 b=-0.000123 c=1234567.0 d={2**60} e=0.0\n")


def test_logs_text_shows_the_stack(logged: Logged) -> None:
    """In text form a stack trace follows its line."""
    with logging_to(Logged(), log_format="text") as text:
        try:
            raise ValueError("no id")
        except ValueError:
            log.exception("broken")
    assert text.getvalue().splitlines()[0].endswith("error   broken")
    assert text.getvalue().endswith("ValueError: no id\n")
    assert logged.getvalue() == ""
