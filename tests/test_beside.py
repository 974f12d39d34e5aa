"""Counters and links of a job: bounded, in every report; what a presigned URL gives away stays out of logs and run store."""

import logging
from typing import Any

import msgspec
import pytest
from attempts import ITEMS, Rename, parts_of
from examples import a_summary
from logged import Logged, logging_to
from stored import do, row_of

from worker.beside import counters, links
from worker.database import Link
from worker.job import Run
from worker.mask import Mask
from worker.outcome import Outcome, done
from worker.report.account import Account, lines
from worker.report.emf import EmfReporter
from worker.report.log_reporter import LogReporter
from worker.report.slack_message import message
from worker.run import attempt
from worker.scope import Scope
from worker.source import Record
from worker.store.migrate import migrate
from worker.verdict import Verdict

SIGNATURE = "0af9c1" * 10
SIGNED = f"https://b.s3.amazonaws.com/eu.csv?X-Amz-Expires=3600&X-Amz-Security-Token={'T' * 1_500}&X-Amz-Signature={SIGNATURE}"
COUNTED = {"objects": 1_234, "bytes": 64_000_000, "rcu": 0.5}


def test_beside_counters_are_bounded() -> None:
    """Twenty names at most, fit for every metric system; the rest adds up, and what is no number is left out."""
    given: dict[str, Any] = {f"n {number}": number for number in range(100)}
    told = counters(given | {"n 1": 7, "odd": float("nan"), "text": "x"})
    assert len(told) == 20
    assert (told["n_1"], told["other"]) == (7, sum(range(19, 100)))
    assert counters({"a b": 1, "a/b": 2.5, "": 1, "x" * 99: 1}) == {"a_b": 3.5, "other": 1, "x" * 40: 1}


@pytest.mark.parametrize("url", ["javascript:alert(1)", "ftp://a/b", "https://", "http://a b", "", None, "http://[x"])
def test_beside_links_are_web_addresses(url: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Anything else is left out, and the log says so."""
    assert links({"Bad": url, "Good": "https://a/b"}, logging.getLogger("job")) == {"Good": "https://a/b"}
    assert "link 'Bad' is left out" in caplog.text


def test_beside_links_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """Twenty at most, each label short and on one line."""
    told = links({f"{'long ' * 20}\n{number}": "https://a" for number in range(30)}, logging.getLogger("job"))
    assert len(told) == 1
    told = links({f"{number}\n{'long ' * 20}": "https://a" for number in range(30)}, logging.getLogger("job"))
    assert len(told) == 20
    assert all(len(label) == 40 and "\n" not in label for label in told)
    assert "a summary has 20 at most" in caplog.text


def test_beside_is_told_to_people() -> None:
    """Slack and terminal have the counters in words, and links that open."""
    summary = a_summary(Verdict.SUCCEEDED, counters=COUNTED, links={"EU": SIGNED})
    posted = message(summary, Mask())
    assert posted is not None
    said = [block["text"]["text"] for block in posted.blocks if "text" in block]
    assert any("*Counted*  objects 1,234 · bytes 61 MB · rcu 0.5" in text for text in said)
    assert f"*Links*  <{SIGNED.replace('&', '&amp;')}|EU>" in said
    text = list(lines(Account(summary, Mask()), summary.verdict))
    assert "  counted         objects 1,234 · bytes 61 MB · rcu 0.5" in text
    assert f"EU: {SIGNED}" in text


def test_beside_links_that_do_not_fit_are_left_out_of_the_message() -> None:
    """A message with ten presigned URLs is still one that Slack takes, with those that fit."""
    posted = message(a_summary(links={f"report {n}": SIGNED for n in range(10)}), Mask())
    assert posted is not None
    assert posted.blocks
    assert "|report 0>" in str(posted.blocks)


async def test_beside_is_told_to_machines() -> None:
    """The log has both, signatures masked; the embedded metrics have the counters, with their units."""
    summary = a_summary(Verdict.SUCCEEDED, counters=COUNTED, links={"EU": SIGNED})
    with logging_to(Logged()) as logged:
        await LogReporter().ended(summary, 5)
        await EmfReporter().ended(summary, 5)
    end, metrics = logged.lines()
    assert end["counters"] == COUNTED
    assert end["links"]["EU"].endswith("&X-Amz-Signature=***")
    assert "TTTT" not in str(end)
    assert (metrics["Counter_bytes"], metrics["Counter_rcu"]) == (64_000_000, 0.5)
    units = {metric["Name"]: metric["Unit"] for metric in metrics["_aws"]["CloudWatchMetrics"][-1]["Metrics"]}
    assert units == {"Counter_objects": "Count", "Counter_bytes": "Bytes", "Counter_rcu": "Count"}


async def test_beside_is_kept_with_the_run(database_url: str) -> None:
    """The run store has both with the attempt's summary, signatures masked; the summary itself has links that open."""

    class Counting(Rename):
        async def process(self, record: Record, run: Run[Scope]) -> Outcome:
            run.counters["bytes"] += 100
            run.links["EU"] = SIGNED
            return done("new")

    async with Link(database_url, "test") as link:
        await migrate(link)
        await do(link, ITEMS)
        async with parts_of(database_url, Counting(), links={"Logs": "https://logs"}) as parts:
            summary = await attempt(parts)
        kept = await row_of(link, "SELECT summary::text FROM worker.attempts")
    assert (summary.counters, summary.links) == ({"bytes": 2_000}, {"EU": SIGNED, "Logs": "https://logs"})
    stored = msgspec.json.decode(kept["summary"])
    assert stored["counters"] == {"bytes": 2_000}
    assert list(stored["links"]) == ["EU", "Logs"]
    assert SIGNATURE not in kept["summary"]
    assert "TTTT" not in kept["summary"]
