"""The Slack message: the verdict first, always within Slack's limits, never more than text."""

import json
import re
from typing import Any

import pytest
from examples import A_LOG_LINK, a_start, a_summary, a_tally, an_error
from hypothesis import given, settings
from hypothesis import strategies as st
from slack_sdk.models.blocks import Block, HeaderBlock, SectionBlock

from worker.events import Summary
from worker.mask import Mask
from worker.report.slack_message import Message, message
from worker.verdict import Verdict

SECRET = "hush-hush-4711"


def written(summary: Summary, mask: Mask | None = None) -> Message:
    """Give the message of an attempt that owes one."""
    result = message(summary, mask or Mask())
    assert result is not None
    return result


def texts(blocks: tuple[dict[str, Any], ...]) -> list[str]:
    """Give every text of the blocks, in order."""
    parts = [
        part
        for block in blocks
        for part in ([block["text"]] if "text" in block else []) + block.get("fields", []) + block.get("elements", [])
    ]
    return [part["text"] for part in parts]


def check(posted: Message) -> None:
    """Hold a message to every limit of Slack that FACTS.md knows, and to slack_sdk's own checks."""
    units = [len(text.encode("utf-16-le")) // 2 for text in texts(posted.blocks)]
    assert all(1 <= count <= 3_000 for count in units)
    assert sum(units) <= 13_200
    assert len(json.dumps(posted.blocks, ensure_ascii=False)) <= 13_200
    assert 1 <= len(posted.text) <= 40_000
    assert len(posted.blocks) <= 50
    for block in posted.blocks:
        parsed = Block.parse(dict(block))
        assert parsed is not None
        parsed.to_dict()  # raises where a limit is passed
        assert isinstance(parsed, SectionBlock | HeaderBlock) or block["elements"], "an empty context is refused"
        assert all(len(part["text"].encode("utf-16-le")) // 2 <= 2_000 for part in block.get("fields", []))
        if block["type"] == "header":
            assert len(block["text"]["text"].encode("utf-16-le")) // 2 <= 150


def check_harmless(text: str) -> None:
    """See that nothing in a text mentions, links or formats but what the message itself means to."""
    bare = re.sub(r"<https?://[^\s<>|]+\|[^<>|]*>", "", text)
    assert "<" not in bare
    assert ">" not in bare
    assert not re.search(r"&(?!amp;|lt;|gt;)", bare)
    assert bare.count("`") % 2 == 0, "every code span is closed"
    outside = re.sub(r"`[^`]*`", "", bare)
    assert not set(re.sub(r"(?m)^\*[A-Z][\w ]*\*(?=\s|$)", "", outside)) & set("*_~`")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)


def test_slack_message_says_the_verdict_first() -> None:
    """Who is woken reads how it ended, then why, then what to do."""
    summary = a_summary(Verdict.ABORTED, detail="312 of 1,000 records failed (31 %), 25 % is allowed")
    posted = written(summary)
    first, why, failures, command, *_ = texts(posted.blocks)
    assert first == "🛑 poll-payments was aborted"
    assert why.splitlines()[0] == "312 of 1,000 records failed (31 %), 25 % is allowed"
    assert "12 × `resource_missing: No such payment_intent: 'pi_3Nk2x'` e.g. `[4711]`" in failures
    assert command == "*Next*  `python -m worker replay poll-payments:2026-11-22T06:30:00Z`"
    assert posted.text.startswith(f"{first} · 312 of 1,000 records failed")


def test_slack_message_is_complete() -> None:
    """Everything that issue 2 lists is in it."""
    posted = written(a_summary(start=a_start(scope={"merchant_id": 42}, attempt=1)))
    whole = "\n".join(texts(posted.blocks))
    for part in (
        "❌ poll-payments completed with 12 failures in 5,000 records",
        "*Records*  5,000 read = 4,900 done + 88 skipped (80 unchanged, 8 changed meanwhile) + 12 failed",
        "*Scope*\n`merchant_id=42`",
        "*Took*\n56 s at 89/s, limited by the rate limit (90/s)",
        "*Compared*\n12 % slower than the median of the last 10 (50 s)",
        "*Oldest record*\n4.2 s (30 s allowed)",
        "*Memory at most*\n61 MB of 512 MB (12 %)",
        "*CPU*\n4.1 s, 29 % of 0.25 vCPU",
        "run `poll-payments:2026-11-22T06:30:00Z`",
        f"<{A_LOG_LINK.replace('&', '&amp;')}|logs>",
    ):
        assert part in whole
    check(posted)


def test_slack_message_tells_what_is_left_and_what_was_before() -> None:
    """An interrupted attempt says how much is left; a resumed one adds up."""
    summary = a_summary(
        Verdict.INTERRUPTED, total=9_000, start=a_start(attempt=3), run_tally=a_tally(read=12_000, done=11_900)
    )
    account = texts(written(summary).blocks)[1]
    assert "*Left*  about 4,000 of 9,000" in account
    assert "*All 3 attempts*  12,000 read" in account


def test_slack_message_shows_the_three_largest_groups() -> None:
    """Three groups are enough to act on; that there are more is said."""
    groups = tuple(an_error(count=count, type=f"type{count}") for count in (50, 40, 30, 20))
    [failures] = [text for text in texts(written(a_summary(errors=groups)).blocks) if text.startswith("*Failures*")]
    assert failures.startswith("*Failures*  4 kinds, the largest:")
    assert [f"type{count}" in failures for count in (50, 40, 30, 20)] == [True, True, True, False]


def test_slack_message_shows_samples_of_a_dry_run() -> None:
    """A dry run says how much it would have changed, and shows some of it."""
    posted = written(a_summary(Verdict.SUCCEEDED, start=a_start(dry_run=True), samples=("4711 → succeeded",)))
    assert "*Would have changed 4,900 records*\n• `4711 → succeeded`" in texts(posted.blocks)
    assert "(dry run)" in posted.text


@pytest.mark.parametrize("verdict", list(Verdict))
def test_slack_message_is_owed_for_work(verdict: Verdict) -> None:
    """An attempt that worked gets its message, a start that met another run one line, the rest nothing."""
    result = message(a_summary(verdict), Mask())
    if verdict.worked:
        assert result is not None
        assert result.blocks
    elif verdict in (Verdict.OVERLAPPED, Verdict.ALREADY_RUNNING):
        assert result is not None
        assert result.blocks == ()
        assert "\n" not in result.text
        assert "2026-11-22T06:30:00Z" in result.text
    else:
        assert result is None


@pytest.mark.parametrize(
    "nasty",
    [
        "<!channel> wake up",
        "<@U123ABC> <#C1|general> <https://evil.example|click>",
        "*bold* _it_ ~gone~ `code` ```block``` :fire:",
        "a & b && <b>",
        "> quoted\n>>> all\n• point\n1. one",
        "\u202eright to left\u202c \x1b[2J \x00 \x7f \u2028 \ud800",
        "👩\u200d👩\u200d👧 😀" * 500,
        "`" * 5_000,
        "&" * 100_000,
        "a" * 100_000,
        "",
        " ",
    ],
)
def test_slack_message_takes_nasty_words(nasty: str) -> None:
    """What a provider or a record says cannot call the channel, format, nor break the message."""
    summary = a_summary(
        detail=nasty,
        start=a_start(scope={nasty: nasty}, run_id=nasty, version=nasty, shard=nasty),
        tally=a_tally(skipped={nasty: 88}),
        errors=(an_error(type=nasty, message=nasty, sample_key=nasty),) * 5,
        samples=(nasty,) * 9,
        links={nasty: f"https://example.com/{nasty}", "logs": A_LOG_LINK},
        limited_by=nasty,
        next_command=nasty,
    )
    posted = written(summary)
    assert posted.blocks, "it was shrunk, not given up"
    check(posted)
    for text in [posted.text, *texts(posted.blocks)[1:]]:
        check_harmless(text)


WORDS = (
    st.text(max_size=300)
    | st.text(alphabet="<>!&*_~`@#:|\n\\ \u202e😀é", max_size=300)
    | st.integers(1, 20_000).map("&*x".__mul__)
)


@settings(max_examples=30, deadline=None)
@given(
    detail=WORDS,
    scope=st.dictionaries(WORDS, WORDS, max_size=4),
    skipped=st.dictionaries(WORDS, st.integers(0, 10**12), max_size=8),
    errors=st.lists(
        st.builds(an_error, type=WORDS, message=WORDS, sample_key=WORDS, count=st.integers(1, 10**12)), max_size=5
    ),
    links=st.dictionaries(WORDS, WORDS.map("https://example.com/".__add__), max_size=12),
    verdict=st.sampled_from([verdict for verdict in Verdict if verdict.worked]),
    command=st.none() | WORDS,
)
def test_slack_message_fits_whatever_the_errors_say(
    detail: str,
    scope: dict[str, str],
    skipped: dict[str, int],
    errors: list[Any],
    links: dict[str, str],
    verdict: Verdict,
    command: str | None,
) -> None:
    """For any texts and counts the message is within every limit, and only text."""
    tally = a_tally(read=10**15, skipped=skipped)
    posted = written(
        a_summary(
            verdict,
            detail=detail,
            start=a_start(scope=scope),
            tally=tally,
            errors=tuple(errors),
            links=links,
            next_command=command,
        )
    )
    assert posted.blocks
    check(posted)
    for text in [posted.text, *texts(posted.blocks)[1:]]:
        check_harmless(text)


@given(before=st.integers(0, 700), split=st.sampled_from(["", "\u200b", "\u202e", "\n"]))
@settings(max_examples=30, deadline=None)
def test_slack_message_keeps_secrets(before: int, split: str) -> None:
    """No secret is in any text, not split by something invisible, nor half of it at a cut."""
    said = (
        "x" * before + " " + SECRET[:4] + (split if split in ("", "\u200b", "\u202e") else "") + SECRET[4:] + " y" * 400
    )
    summary = a_summary(
        detail=said,
        start=a_start(scope={"a": said}),
        errors=(an_error(message=said, sample_key=said),),
        links={said: f"https://example.com/{SECRET}"},
        next_command=said,
    )
    posted = written(summary, Mask([SECRET]))
    whole = posted.text + json.dumps(posted.blocks)
    assert "hush" not in whole


def test_slack_message_keeps_secrets_of_several_lines() -> None:
    """A private key is masked before its lines are put on one."""
    key = "-----BEGIN KEY-----\nhush  hush\n-----END KEY-----"
    posted = written(a_summary(detail=f"cannot read {key}"), Mask([key]))
    assert "hush" not in posted.text + json.dumps(posted.blocks)


def test_slack_message_leaves_out_a_command_that_it_would_cut() -> None:
    """Half a command would be run as it stands."""
    whole = "\n".join(texts(written(a_summary(next_command="python -m worker x " + "y" * 5_000)).blocks))
    assert "*Next*" not in whole
