"""Hand a message to Slack once, by webhook or as a bot, and read the answer: taken, refused, or worth another try."""

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from worker.report.slack_message import Message


class Answer(NamedTuple):
    """What came of one try; neither ok nor refused: another try may do."""

    ok: bool = False
    refused: bool = False
    reason: str = ""
    retry_after_s: float | None = None


Post: TypeAlias = Callable[[Message, float], Answer]
"""Post a message, waiting at most that many seconds for each of the server's words; never raises."""

_PASSING = {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"}
_ADVICE = {
    "channel_not_found": "check SLACK_CHANNEL, and invite the bot to it",
    "not_in_channel": "invite the bot to SLACK_CHANNEL",
    "is_archived": "the channel is archived: name another one in SLACK_CHANNEL",
    "invalid_auth": "check SLACK_BOT_TOKEN",
    "token_revoked": "make a new SLACK_BOT_TOKEN",
    "missing_scope": "the bot needs the scope chat:write",
    "no_service": "the webhook was removed: make a new SLACK_WEBHOOK_URL",
    "invalid_token": "check SLACK_WEBHOOK_URL",
}


def by_webhook(url: str) -> Post:
    """Post through an incoming webhook."""

    def post(message: Message, timeout_s: float) -> Answer:
        from slack_sdk.webhook import WebhookClient

        client = WebhookClient(url, timeout=math.ceil(timeout_s), retry_handlers=[], logger=_silent())
        response = client.send(text=message.text, blocks=message.blocks or None, unfurl_links=False, unfurl_media=False)
        return _read(response.status_code, response.body, response.headers, taken=response.body.strip() == "ok")

    return _guarded(post)


def by_bot(token: str, channel: str, api_url: str | None = None) -> Post:
    """Post as a bot, by `chat.postMessage`."""

    def post(message: Message, timeout_s: float) -> Answer:
        from slack_sdk.errors import SlackApiError
        from slack_sdk.web import WebClient

        client = WebClient(
            token, api_url or WebClient.BASE_URL, timeout=math.ceil(timeout_s), retry_handlers=[], logger=_silent()
        )
        try:
            client.chat_postMessage(
                channel=channel,
                text=message.text,
                blocks=message.blocks or None,
                unfurl_links=False,
                unfurl_media=False,
            )
        except SlackApiError as error:
            response = error.response
            said = response.data.get("error") if isinstance(response.data, dict) else None
            return _read(response.status_code, str(said or "no JSON object"), response.headers)
        return Answer(ok=True)

    return _guarded(post)


def _guarded(post: Post) -> Post:
    def guarded(message: Message, timeout_s: float) -> Answer:
        try:
            return post(message, timeout_s)
        except OSError as error:
            why = getattr(error, "reason", error)  # that of urllib's URLError, which says it less readably
            return Answer(reason=f"Slack cannot be reached: {getattr(why, 'strerror', None) or why}")
        except Exception as error:  # noqa: BLE001 - no answer, however badly formed, may end the thread unheard
            return Answer(reason=f"{type(error).__name__}: {error}")

    return guarded


def _read(status: int, body: str, headers: Mapping[str, Any], *, taken: bool = False) -> Answer:
    """Tell from status, body (or the API's error word) and headers what came of a try."""
    if status == 200 and taken:
        return Answer(ok=True)
    word = " ".join(body[:300].split())
    advice = f"; {_ADVICE[word]}" if word in _ADVICE else ""
    reason = f"Slack answered {status} {word!r}{advice}"
    if status == 429 or status >= 500 or word in _PASSING:
        return Answer(reason=reason, retry_after_s=_seconds(headers))
    return Answer(refused=True, reason=reason)


def _seconds(headers: Mapping[str, Any]) -> float | None:
    given = {name.lower(): value for name, value in headers.items()}.get("retry-after")
    try:
        return min(3_600.0, max(0.0, float(given))) if given is not None else None
    except ValueError:
        return None  # a date: Slack sends seconds; our own pause will do


def _silent() -> logging.Logger:
    """Give slack_sdk a logger that says nothing: what went wrong is said once, by who called."""
    return logging.Logger("slack_sdk", logging.CRITICAL)
