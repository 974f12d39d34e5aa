"""Deliver the attempt's Slack message within a budget; whatever happens to it changes nothing."""

import asyncio
import logging
import threading
from contextlib import suppress
from time import monotonic

from worker.environment import Settings
from worker.events import Reporter, Summary
from worker.mask import Mask
from worker.report.slack_message import Message, message
from worker.report.slack_post import Answer, Post, by_bot, by_webhook
from worker.retry import Retry

_log = logging.getLogger(__name__)

_PAUSES = Retry(first=0.5, longest=5.0)
_ONE_TRY_S = 5.0


def slack_reporter(settings: Settings, mask: Mask) -> Reporter | None:
    """Build what posts the message; None where the environment names no Slack."""
    post = poster(settings)
    return SlackReporter(post, mask) if post else None


def poster(settings: Settings) -> Post | None:
    """Choose how to post: as a bot where there is a token, else by webhook; None without either."""
    if settings.slack_bot_token and settings.slack_channel:
        return by_bot(settings.slack_bot_token, settings.slack_channel, settings.slack_api_url)
    return by_webhook(settings.slack_webhook_url) if settings.slack_webhook_url else None


async def deliver(post: Post, written: Message, budget_s: float, mask: Mask) -> bool:
    """Post a message; return when it is posted or refused, or when the budget is spent: tell whether Slack has it."""
    trouble = await _Delivery(post, written, monotonic() + budget_s).trouble(budget_s)
    if trouble:
        _log.warning("the Slack message was not delivered: %s", mask(trouble))
    return trouble is None


class SlackReporter(Reporter):
    """Post one message an attempt that worked, and one line for a start that found another run going on."""

    def __init__(self, post: Post, mask: Mask) -> None:
        self._post = post
        self._mask = mask

    async def ended(self, summary: Summary, budget_s: float) -> None:
        """Post the message; return when it is posted or refused, or when the budget is spent.

        Of a run in shards, that is for `closed`; for those that find another run going on the first one speaks.
        """
        shard = summary.start.shard
        if shard is None or (not summary.verdict.worked and shard.startswith("1/")):
            await self._post_message(summary, budget_s)

    async def closed(self, summary: Summary, budget_s: float) -> None:
        """Post the one message of a run in shards."""
        await self._post_message(summary, budget_s)

    async def _post_message(self, summary: Summary, budget_s: float) -> None:
        written = message(summary, self._mask)
        if written is not None:
            await deliver(self._post, written, budget_s, self._mask)


class _Delivery(threading.Thread):
    """Try until Slack has the message or the time is over.

    A daemon thread of its own, not one of the loop's executor: a name look-up that hangs must not hold up the exit.
    """

    def __init__(self, post: Post, written: Message, until: float) -> None:
        super().__init__(name="slack", daemon=True)
        self._post = post
        self._message = written
        self._until = until
        self._last = "no answer"
        self._over = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()

    async def trouble(self, budget_s: float) -> str | None:
        """Deliver, and say what kept the message from being delivered; None when it was."""
        self.start()
        try:
            await asyncio.wait_for(self._ended.wait(), budget_s)
        except TimeoutError:
            return f"{self._last}; gave up after {budget_s:.1f} s"
        finally:
            self._over.set()
        return self._last or None

    def run(self) -> None:
        """Try, pause, try again: the thread's life."""
        tries = 0
        while not self._over.is_set():
            tries += 1
            answer = self._try()
            if answer.refused and self._message.blocks:
                self._message = self._message.plain  # better a plain word than none
            elif answer.ok or answer.refused or not self._paused(answer, tries):
                break
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._ended.set)

    def _paused(self, answer: Answer, tries: int) -> bool:
        """Wait before another try; False at once where the wait would outlast the budget."""
        pause = _PAUSES.delay(tries) if answer.retry_after_s is None else answer.retry_after_s
        if monotonic() + pause >= self._until:
            self._last += f", {tries} ×; the time for reports is nearly over"
            return False
        return not self._over.wait(pause)

    def _try(self) -> Answer:
        left = self._until - monotonic()
        answer = self._post(self._message, max(1.0, min(_ONE_TRY_S, left)))
        self._last = "" if answer.ok else answer.reason
        return answer
