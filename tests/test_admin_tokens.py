"""Tokens: made once, read from the environment, and compared without giving away how near a guess is."""

import argparse
import hashlib
import hmac
import re
import shlex
from datetime import UTC, datetime, timedelta

import pytest

from worker.admin import tokens
from worker.cli.admin import make_token
from worker.errors import Faults

HASH = "0" * 64


def test_tokens_made_is_let_in_by_its_entry_alone() -> None:
    """The entry lets the token in, holds no part of it, and no other token passes."""
    made, other = tokens.make("qa", ["read"]), tokens.make("qa", ["read"])
    named, may, expires = made.entry.split(";")
    assert named == f"qa={hashlib.sha256(made.token.encode()).hexdigest()}"
    assert (may, expires) == ("may=read", f"expires={datetime.now(UTC).date() + timedelta(days=90)}")
    known = tokens.parse(f"{made.entry}, night={HASH}")
    assert (found := known.verify(made.token)) is not None
    assert found.name == "qa"
    assert known.verify(other.token) is None


@pytest.mark.parametrize("presented", ["", "qa", HASH, "ä", "\udcff", "admin_"])
def test_tokens_refuse_what_is_none(presented: str) -> None:
    """Neither a name nor the configured hash nor any bytes pass for a token."""
    assert tokens.parse(f"qa={HASH}").verify(presented) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (None, "nothing is served without a token: make one with `python -m worker token new --name qa --may read"),
        (" , ", "not set"),
        ("qa", "entry 1: it is not name=sha256"),
        (f"qa={HASH},night={HASH[:63]}", "entry 2: it is not name=sha256"),
        (f"={HASH}", "entry 1: the name"),
        (f"a b={HASH}", "entry 1: the name"),
        (f"qa={HASH};rights=read", "entry 1: what follows the hash is"),
        (f"qa={HASH};may=read;may=start:*", "each once"),
        (f"qa={HASH};may=", "no right ''"),
        (f"qa={HASH};may=read+stop", "the right 'stop' lacks its job"),
        (f"qa={HASH};expires=soon", "expires='soon' is no day such as 2027-02-22"),
        (f"qa={HASH},qa={'1' * 64}", "two entries of one name"),
        (f"qa={HASH},night={HASH}", "two entries of one digest"),
    ],
)
def test_tokens_parse_names_what_is_wrong(text: str | None, fault: str) -> None:
    """Each malformed configuration is refused with its place, and with what to do."""
    with pytest.raises(Faults) as caught:
        tokens.parse(text)
    assert fault in str(caught.value)


def test_tokens_parse_shows_no_value() -> None:
    """A token put where its hash belongs does not get into the log."""
    with pytest.raises(Faults) as caught:
        tokens.parse("admin_secret,qa=admin_secret")
    assert "admin_secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a,b", "-a", "x" * 41])
def test_tokens_make_refuses_a_name_that_would_break_the_entry(name: str) -> None:
    """A name is one word."""
    with pytest.raises(Faults, match="a token's name is"):
        tokens.make(name, ["read"])


@pytest.mark.parametrize(
    ("may", "fault"),
    [
        (["start"], "the right 'start' lacks its job: start:<job>"),
        (["read:*"], "no right 'read:*'"),
        (["run:a"], "no right 'run:a'"),
        (["start:A b"], "no right 'start:A b'"),
        ([], "without a right"),
    ],
)
def test_tokens_make_refuses_rights_that_are_none(may: list[str], fault: str) -> None:
    """What is wrong is said, and what there is."""
    with pytest.raises(Faults, match=re.escape(fault)):
        tokens.make("qa", may)


def test_tokens_new_prints_what_to_keep_and_what_it_will_not_open(capsys: pytest.CaptureFixture[str]) -> None:
    """Token and entry stand alone on stdout, the entry as a shell takes it whole; a right to a job that is not here is said."""
    make_token(argparse.Namespace(name="qa", may=["start:poll-paymints", "stop:poll-payments", "replay:*"], days=1))
    said = capsys.readouterr()
    token, line = said.out.splitlines()
    [entry] = shlex.split(line)
    assert line.endswith("'"), "bare, a shell would cut it at its first semicolon"
    found = tokens.parse(entry.removeprefix("ADMIN_TOKEN_HASHES=")).verify(token)
    assert found is not None
    assert (found.name, found.expired) == ("qa", False)
    assert "no job 'poll-paymints' here" in said.err
    assert "'poll-payments'" not in said.err


def test_tokens_of_old_entries_start_and_read() -> None:
    """An entry without rights was made for starting runs and looking at them; it does that, and no more, and does not end."""
    [token] = tokens.parse(f"qa={HASH}").all
    assert (token.rights.names, token.expires, token.expired) == (("read", "start:*"), None, False)


@pytest.mark.parametrize(("days", "over"), [(1, False), (0, True), (-1, True)])
def test_tokens_end_with_the_day_before(days: int, over: bool) -> None:
    """From the day in the entry on, by UTC, it is none; and it is known as one that was."""
    made = tokens.make("qa", ["read"], days)
    found = tokens.parse(made.entry).verify(made.token)
    assert found is not None
    assert found.expired is over


def test_tokens_verify_compares_with_every_token_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timing-safe comparison is used, for every token, also after a match."""
    compared: list[str] = []
    real = hmac.compare_digest

    def watched(kept: str, presented: str) -> bool:
        compared.append(kept)
        return real(kept, presented)

    made = [tokens.make(name, ["read"]) for name in ("a", "b", "c")]
    known = tokens.parse(",".join(entry for _, entry in made))
    monkeypatch.setattr(hmac, "compare_digest", watched)
    assert known.verify(made[0].token) is not None
    assert compared == [entry.partition(";")[0].partition("=")[2] for _, entry in made]
