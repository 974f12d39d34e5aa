"""Delivery to Slack: within its budget, with retries, and without any effect on the run."""

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from examples import a_summary
from logged import Logged, logging_to
from slack_server import Reply, slack

from worker.environment import settings
from worker.events import Reporter
from worker.mask import Mask
from worker.report.slack import slack_reporter
from worker.verdict import Verdict

TOKEN = "xoxb-1234-hush-hush"


def by_webhook(url: str) -> Reporter:
    """Build the reporter that a webhook in the environment asks for."""
    reporter = slack_reporter(settings({"SLACK_WEBHOOK_URL": f"{url}/services/T/B/hush-hush"}), Mask(["hush-hush"]))
    assert reporter is not None
    return reporter


def by_bot(url: str) -> Reporter:
    """Build the reporter that a bot's token in the environment asks for."""
    environ = {"SLACK_BOT_TOKEN": TOKEN, "SLACK_CHANNEL": "#batch", "SLACK_API_URL": f"{url}/api/"}
    reporter = slack_reporter(settings(environ), Mask([TOKEN]))
    assert reporter is not None
    return reporter


async def told(reporter: Reporter, budget_s: float = 5.0, verdict: Verdict = Verdict.CRASHED) -> list[str]:
    """End an attempt, see that it took at most the budget, and give what was logged."""
    with logging_to(Logged()) as logged:
        began = time.monotonic()
        await reporter.ended(a_summary(verdict), budget_s)
        assert time.monotonic() - began < budget_s + 0.5
    return [line["event"] for line in logged.lines()]


async def test_slack_posts_by_webhook() -> None:
    """A webhook gets text and blocks, once."""
    with slack(Reply()) as server:
        assert await told(by_webhook(server.url)) == []
    [(path, _, body)] = server.posted
    assert path == "/services/T/B/hush-hush"
    assert body["text"].startswith("💥 poll-payments crashed")
    assert body["blocks"][0]["text"]["text"] == "💥 poll-payments crashed"
    assert body["unfurl_links"] is False


async def test_slack_posts_as_a_bot() -> None:
    """A bot posts into its channel, with its token, once."""
    with slack(Reply(body=b'{"ok": true, "ts": "1"}')) as server:
        assert await told(by_bot(server.url)) == []
    [(path, authorization, body)] = server.posted
    assert (path, authorization, body["channel"]) == ("/api/chat.postMessage", f"Bearer {TOKEN}", "#batch")
    assert body["blocks"][0]["type"] == "header"


def test_slack_is_not_built_without_settings() -> None:
    """No webhook and no token: no Slack, and nothing of it is loaded."""
    assert slack_reporter(settings({}), Mask()) is None


@pytest.mark.parametrize("verdict", [Verdict.ALREADY_DONE, Verdict.NOT_STARTED])
async def test_slack_is_not_told_of_nothing(verdict: Verdict) -> None:
    """An end that owes no message sends none."""
    with slack(Reply()) as server:
        assert await told(by_webhook(server.url), verdict=verdict) == []
    assert server.posted == []


BUSY = Reply(429, b"rate_limited", {"Retry-After": "0.05"})
BUSY_BOT = Reply(429, b'{"ok": false, "error": "ratelimited"}', {"Retry-After": "0.05"})
BROKEN = Reply(500, b"internal_error")


@pytest.mark.parametrize("replies", [(BUSY, BUSY, Reply()), (BROKEN, Reply()), (Reply(503, b"\xff"), BUSY, Reply())])
async def test_slack_tries_again(replies: tuple[Reply, ...]) -> None:
    """A busy or broken Slack gets the message as soon as it takes it."""
    with slack(*replies) as server:
        assert await told(by_webhook(server.url)) == []
    assert len(server.posted) == len(replies)


@pytest.mark.parametrize(
    "first",
    [BUSY_BOT, Reply(200, b'{"ok": false, "error": "internal_error"}'), Reply(502, b"<html>bad gateway</html>")],
)
async def test_slack_tries_again_as_a_bot(first: Reply) -> None:
    """The Web API's passing errors are passed over too, whatever status they come with."""
    with slack(first, Reply(body=b'{"ok": true}')) as server:
        assert await told(by_bot(server.url)) == []
    assert len(server.posted) == 2


async def test_slack_is_not_waited_for_beyond_the_budget() -> None:
    """A pause longer than the time that is left ends the delivery at once, with a line that says why."""
    with slack(Reply(429, b"rate_limited", {"Retry-After": "600"})) as server:
        began = time.monotonic()
        [line] = await told(by_webhook(server.url), budget_s=30)
        assert time.monotonic() - began < 5
    assert "429 'rate_limited'" in line
    assert len(server.posted) == 1


async def test_slack_gets_plain_text_when_it_refuses_the_blocks() -> None:
    """What is wrong with the blocks must not cost the verdict."""
    with slack(Reply(400, b"invalid_blocks"), Reply()) as server:
        assert await told(by_webhook(server.url)) == []
    whole, plain = (body for _, _, body in server.posted)
    assert "blocks" in whole
    assert "blocks" not in plain
    assert plain["text"] == whole["text"]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(404, b"no_service"), "404 'no_service'; the webhook was removed: make a new SLACK_WEBHOOK_URL"),
        (Reply(200, b"<html>sign in</html>"), "200 '<html>sign in</html>'"),
        (Reply(302, b"", {"Location": "/elsewhere"}), "200 '<html>welcome</html>'"),
        (Reply(307, b"", {"Location": "/elsewhere"}), "307"),
        (Reply(400, b"no_text hush-hush"), "400 'no_text ***'"),
    ],
)
async def test_slack_refusal_is_a_log_line(reply: Reply, reason: str) -> None:
    """A refusal is tried once more as plain text, then said with its reason, without secrets."""
    with slack(reply) as server:
        [line] = await told(by_webhook(server.url))
    assert line.startswith("the Slack message was not delivered: Slack answered")
    assert reason in line
    assert len(server.posted) == 2


async def test_slack_refusal_tells_a_bot_what_to_do() -> None:
    """A channel that the bot is not in is named in the log."""
    with slack(Reply(body=b'{"ok": false, "error": "not_in_channel"}')) as server:
        [line] = await told(by_bot(server.url))
    assert "'not_in_channel'; invite the bot to SLACK_CHANNEL" in line


async def test_slack_garbage_for_a_bot_is_a_log_line() -> None:
    """An answer that is no JSON is a refusal like others."""
    with slack(Reply(body=b"what?")) as server:
        [line] = await told(by_bot(server.url))
    assert "not delivered" in line


@contextmanager
def listening(answer: bytes | None) -> Iterator[str]:
    """Accept connections and answer these bytes, one every 50 ms; None: never answer."""
    over = threading.Event()

    def serve(listener: socket.socket) -> None:
        connections: list[socket.socket] = []
        while not over.is_set():
            try:
                connections.append(listener.accept()[0])
                for byte in answer or b"":
                    if over.wait(0.05):
                        break
                    connections[-1].sendall(bytes([byte]))
            except OSError:
                continue
        for connection in connections:
            connection.close()

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.settimeout(0.05)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize("build", [by_webhook, by_bot])
@pytest.mark.parametrize(
    "answer", [None, b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\nok"], ids=["silent", "trickling"]
)
async def test_slack_that_hangs_costs_the_budget(build: Any, answer: bytes | None) -> None:
    """A Slack that accepts and never answers, or never ends, costs no more than the budget."""
    with listening(answer) as url:
        [line] = await told(build(url), budget_s=0.4)
    assert "gave up after 0.4 s" in line


async def test_slack_that_is_not_there_costs_the_budget() -> None:
    """A refused connection is tried again until the time is over, then said."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    [line] = await told(by_webhook(url), budget_s=0.6)
    assert line.startswith("the Slack message was not delivered: Slack cannot be reached: Connection refused, ")
    assert line.endswith(" ×; the time for reports is nearly over")


async def test_slack_that_speaks_no_http_is_a_log_line() -> None:
    """Bytes that are no HTTP are an error like any other."""
    with listening(b"\xff\x00\r\n\r\n") as url:
        [line] = await told(by_webhook(url), budget_s=0.6)
    assert "not delivered" in line


async def test_slack_does_not_block_the_loop() -> None:
    """While Slack hangs, the rest of the attempt goes on."""
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    ticking = asyncio.create_task(tick())
    with listening(None) as url:
        await told(by_webhook(url), budget_s=0.4)
    ticking.cancel()
    assert turns > 5


def test_slack_does_not_hold_up_the_exit() -> None:
    """The process ends when the attempt does, even with a connection that still hangs."""
    program = """if True:
        import asyncio, sys, time
        sys.path.insert(0, "tests")
        from examples import a_summary
        from worker.environment import settings
        from worker.mask import Mask
        from worker.report.slack import slack_reporter
        reporter = slack_reporter(settings({"SLACK_WEBHOOK_URL": sys.argv[1]}), Mask())
        assert "slack_sdk" not in sys.modules
        asyncio.run(reporter.ended(a_summary(), 0.5))
        print(time.time())
    """
    with listening(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + b"." * 200) as url:
        ended = subprocess.run(
            [sys.executable, "-c", program, url], capture_output=True, timeout=30, check=True, text=True
        )
        assert time.time() - float(ended.stdout) < 2
    assert "not delivered" in ended.stderr
