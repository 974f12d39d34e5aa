"""Write the Slack message of an attempt: the verdict first, then what happened, then what to do."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from worker.events import Summary
from worker.mask import Mask
from worker.report import slack_text, words
from worker.verdict import Verdict

Block: TypeAlias = dict[str, Any]

MOST_BLOCKS = 50
LONGEST_HEADER = 150
LONGEST_SECTION = 3_000
MOST_FIELDS = 10
MOST_ELEMENTS = 10
LONGEST_FIELD = 2_000
LONGEST_BLOCKS = 13_000
"""Over all blocks, as JSON: undocumented, about 13,200 (slackapi/bolt-js#2509)."""

_ONE_LINE = (Verdict.OVERLAPPED, Verdict.ALREADY_RUNNING)
"""Ends without work that somebody may wonder about; `already done` and `could not start` are said elsewhere."""

_SHOWN_GROUPS = 3
_SHOWN_SAMPLES = 5
_SHOWN_SHARDS = 8


@dataclass(frozen=True, slots=True)
class Message:
    """What is posted: blocks (none: the text alone) and the text that notifications and old clients show."""

    text: str
    blocks: tuple[Block, ...] = ()

    @property
    def plain(self) -> "Message":
        """Give the message without its blocks, for when Slack refuses them."""
        return Message(self.text)


def message(summary: Summary, mask: Mask) -> Message | None:
    """Write the message of an attempt, shrunk until Slack takes it; None for an end that owes none."""
    text = _text(summary, mask)
    if summary.verdict in _ONE_LINE:
        return Message(text)
    if not summary.verdict.worked:
        return None
    for longest in (600, 200, 60):
        blocks = tuple(_Writer(summary, mask, longest).blocks())
        if fits(blocks):
            return Message(text, blocks)
    return Message(text)


def fits(blocks: tuple[Block, ...]) -> bool:
    """Tell whether Slack takes these blocks: their number, each text's length, the length of all."""
    whole = slack_text.length(json.dumps(blocks, ensure_ascii=False))
    return len(blocks) <= MOST_BLOCKS and whole <= LONGEST_BLOCKS and all(map(_block_fits, blocks))


def _block_fits(block: Block) -> bool:
    length = slack_text.length
    if block["type"] == "header":
        return length(block["text"]["text"]) <= LONGEST_HEADER
    if block["type"] == "context":
        return 1 <= len(block["elements"]) <= MOST_ELEMENTS and _each(block["elements"], LONGEST_FIELD)
    if "fields" in block:
        return 1 <= len(block["fields"]) <= MOST_FIELDS and _each(block["fields"], LONGEST_FIELD)
    return 1 <= length(block["text"]["text"]) <= LONGEST_SECTION


def _each(texts: list[dict[str, Any]], longest: int) -> bool:
    return all(1 <= slack_text.length(text["text"]) <= longest for text in texts)


def _text(summary: Summary, mask: Mask) -> str:
    """Say the whole in one line: enough for a phone at night."""
    told = [words.headline(summary)]
    told += [summary.detail] if summary.detail else []
    if summary.verdict.worked:
        told += [f"{words.counts(summary.tally)}, in {words.duration(summary.duration_s)}"]
    if summary.verdict in _ONE_LINE:
        told += [f"run {summary.start.run_key}"]
    lines = [slack_text.words(slack_text.cleaned(part, mask, 300)) for part in told]
    return f"{words.emoji(summary)} {' · '.join(lines)}"


class _Writer:
    """Write the blocks, no foreign text longer than `longest` characters."""

    def __init__(self, summary: Summary, mask: Mask, longest: int) -> None:
        self._summary = summary
        self._mask = mask
        self._longest = longest

    def blocks(self) -> Iterator[Block]:
        yield self._header()
        for part in (self._account, self._errors, self._samples, self._next, self._links, self._fields, self._origin):
            block = part()
            if block:
                yield block

    def _header(self) -> Block:
        head = f"{words.emoji(self._summary)} {self._clean(words.headline(self._summary), LONGEST_HEADER - 20)}"
        return {"type": "header", "text": {"type": "plain_text", "text": head, "emoji": True}}

    def _account(self) -> Block:
        summary = self._summary
        lines = [self._words(summary.detail)] if summary.detail else []
        lines.append(f"*Records*  {self._words(words.counts(summary.tally))}")
        if summary.counters:
            lines.append(f"*Counted*  {self._words(words.counters(summary.counters))}")
        left = (summary.total or 0) - summary.tally.finished
        if left > 0 and not summary.verdict.complete:
            lines.append(f"*Left*  about {left:,} of {summary.total:,}")
        if summary.start.attempt > 1:
            lines.append(f"*All {summary.start.attempt} attempts*  {self._words(words.counts(summary.run_tally))}")
        lines += [f"*Shards*  {self._words(line)}" for line in words.shards(summary)[:_SHOWN_SHARDS]]
        return section("\n".join(lines))

    def _fields(self) -> Block:
        summary = self._summary
        limited = words.limited(summary.limited_by, summary.start.limits, summary.portions)
        took = f"{words.duration(summary.duration_s)} at {words.rate(summary.rate)}"
        told = {
            "Took": took + (f", limited by {limited}" if limited else ""),
            "Compared": words.compared(summary),
            "Scope": slack_text.cleaned(words.scope(summary.start.scope), self._mask, self._longest),
            "Oldest record": words.oldest(summary),
            "Memory at most": words.memory(summary),
            "CPU": words.cpu(summary),
            "Paused by the other side": words.duration(summary.throttled_s) if summary.throttled_s else None,
        }
        shown = [mrkdwn(f"*{name}*\n{self._words(value)}") for name, value in told.items() if value]
        return {"type": "section", "fields": shown}

    def _errors(self) -> Block | None:
        groups = self._summary.errors
        if not groups:
            return None
        lines = [f"*Failures*  {len(groups)} kinds, the largest:" if len(groups) > _SHOWN_GROUPS else "*Failures*"]
        for group in groups[:_SHOWN_GROUPS]:
            said = self._code(f"{group.type}: {group.message}")
            lines.append(f"• {group.count:,} × {said} e.g. {self._code(group.sample_key)}")
        return section("\n".join(lines))

    def _samples(self) -> Block | None:
        would = words.would(self._summary)
        if not would:
            return None
        samples = self._summary.samples[:_SHOWN_SAMPLES]
        return section("\n".join([f"*{would.capitalize()}*", *(f"• {self._code(sample)}" for sample in samples)]))

    def _next(self) -> Block | None:
        command = self._summary.next_command
        # A command that was cut would be run as it stands: rather none.
        if not command or len(command) > self._longest:
            return None
        return section(f"*Next*  {self._code(command)}")

    def _origin(self) -> Block:
        start = self._summary.start
        told = [f"run {self._code(start.run_id)}", f"attempt {start.attempt}"]
        told += [f"shard {self._words(start.shard)}"] if start.shard else []
        told += [f"version {self._words(start.version)}"] if start.version else []
        return {"type": "context", "elements": [mrkdwn(" · ".join(told))]}

    def _links(self) -> Block | None:
        """Link what the job has made, logs and console, as much as fits; presigned URLs are long, and whole or of no use."""
        line = "*Links*"
        for label, url in self._summary.links.items():
            link = slack_text.link(self._mask.known(url), self._clean(label, 40), 4 * self._longest)
            if link and slack_text.length(line) + slack_text.length(link) + 2 <= LONGEST_SECTION:
                line += f"  {link}"
        return section(line) if "|" in line else None

    def _clean(self, text: str, longest: int | None = None) -> str:
        return slack_text.cleaned(text, self._mask, longest or self._longest)

    def _words(self, text: str) -> str:
        return slack_text.words(self._clean(text))

    def _code(self, text: str) -> str:
        return slack_text.code(self._clean(text))


def section(text: str) -> Block:
    """Give a block of text."""
    return {"type": "section", "text": mrkdwn(text)}


def mrkdwn(text: str) -> dict[str, Any]:
    """Give a formatted text."""
    # verbatim: no @name, #channel or address in foreign text becomes a mention or a link.
    return {"type": "mrkdwn", "text": text, "verbatim": True}
