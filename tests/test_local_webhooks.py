"""The receiver of webhooks counts every delivery and answers as it was told to."""

from typing import Any

import aiohttp

from worker.local.webhooks import Behaviour, Webhooks


async def delivered(url: str, name: str | None = None) -> int:
    """Deliver once and give the answer's status."""
    headers = {"webhook-id": name} if name else {}
    async with aiohttp.ClientSession() as session, session.post(url, json={}, headers=headers) as answer:
        return answer.status


async def asked(method: str, url: str, **body: Any) -> tuple[int, Any]:
    """Look into the receiver, or change it, as another process does."""
    async with aiohttp.ClientSession() as session, session.request(method, url, json=body or None) as answer:
        return answer.status, await answer.json()


async def test_webhooks_are_counted_by_their_id() -> None:
    """Twice one and once another; one without an id counts under its path."""
    async with Webhooks() as webhooks:
        statuses = [await delivered(f"{webhooks.url}/a", name) for name in ("1", "2", "1", None)]
        told = await asked("GET", f"{webhooks.url}/_receiver/deliveries")
        assert await webhooks.report() == "webhooks: 4 requests, 3 of 3 ids accepted, at most 2 of one"
    assert statuses == [204] * 4
    assert told == (200, {"1": 2, "2": 1, "/a": 1})


async def test_webhooks_fail_first_tries_and_then_answer() -> None:
    """The share of tries that was asked for fails, and each id is accepted in the end."""
    async with Webhooks(Behaviour(fail=0.3)) as webhooks:
        while missing := [name for name in map(str, range(50)) if not webhooks.accepted[name]]:
            for name in missing:
                await delivered(webhooks.url, name)
        assert 60 < webhooks.deliveries.total() < 90
        assert set(webhooks.accepted.values()) == {1}


async def test_webhooks_can_be_changed_from_outside() -> None:
    """What is given changes, the rest stays; what it does not know is refused in words."""
    async with Webhooks(Behaviour(status=503)) as webhooks:
        control = f"{webhooks.url}/_receiver"
        assert (await asked("PUT", control, down=["/gone"]))[0] == 200
        assert [await delivered(f"{webhooks.url}/{path}") for path in ("gone/1", "here")] == [503, 204]
        status, told = await asked("PUT", control, dwon=["/gone"])
        assert (status, "dwon" in told["error"]) == (400, True)
        assert await asked("GET", control) == (200, {"requests": 2, "ids": 2, "accepted": 1, "most_of_one": 1})
