"""The console in a real browser: what an operator does at night, against the real server, jobs, database and provider."""

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from admin_serving import served
from browser import Scheme, barriers, opened
from console_room import MAX_AFFECTED, OPS, READER, STOPPER, Room, console, write_jobs
from playwright.async_api import FloatRect, Page, expect
from worker_process import finished

from worker.local.postgres import Postgres

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAYMENTS = 2_000
SLOW_S = 1.0
BAIT = '<img src=x onerror="hacked=1">\'</script>'
HOSTILE_RUN = """
INSERT INTO worker.runs (run_id, job, run_key, scope, scope_hash, mode, status, detail, attempt, tally, cursor, source)
VALUES ('poll-payments:hostile', 'poll-payments', 'hostile', jsonb_build_object('merchant_id', $1::text), '', 'run', 'aborted', $1, 1,
    jsonb_build_object('read', 1, 'done', 0, 'failed', 1, 'skipped', jsonb_build_object($1::text, 1)), jsonb_build_array($1::text), $1)"""
HOSTILE_LETTER = "INSERT INTO worker.dead_letters VALUES ('poll-payments:hostile', jsonb_build_array($1::text), $1, $1, 1, now(), now())"
PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
KEPT = bool(os.environ.get("WRITE_PICTURES"))
"""Whether the pictures that are taken here, each time, are for the documents: `make pictures`."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(postgres_server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    """Give the module's room; its tests tell one story, in this order."""
    url = await postgres_server.database()
    async with console(url, tmp_path_factory.mktemp("console"), PAYMENTS) as room:
        yield room
    await postgres_server.drop(url)


async def status(page: Page, words: str) -> None:
    """Wait until the run's page says that it stands like this."""
    await expect(page.locator(".head .status")).to_have_text(re.compile(words))


async def test_console_asks_for_the_token_and_keeps_it_in_memory_alone(room: Room) -> None:
    """A wrong one is refused in words, a right one opens; nothing is stored, and a reload asks again."""
    async with opened(room.browser, f"{room.address}/console/") as watched:
        page = watched.page
        await expect(page.get_by_label("Token")).to_be_focused()
        await page.keyboard.type("admin_wrong")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("Not let in")
        watched.forgive("401")
        await expect(page.get_by_label("Token")).to_be_focused()
        await page.get_by_label("Token").fill(OPS.token)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="poll-payments")).to_be_visible()
        await expect(page.locator("#who")).to_have_text("ops")
        kept = await page.evaluate("[localStorage.length, sessionStorage.length, document.cookie, location.href]")
        assert kept[:3] == [0, 0, ""]
        assert OPS.token not in kept[3]
        await page.reload()
        await expect(page.get_by_label("Token")).to_be_focused()


async def test_console_starts_a_scoped_run_after_its_dry_run(room: Room) -> None:
    """The dry run opens the real start; as it would change more than max_affected, the job's name is typed. All by keyboard."""
    async with room.shown("#/start/poll-payments") as watched:
        page = watched.page
        real = page.get_by_role("button", name="Start for real")
        await page.get_by_label("merchant_id").fill("many")
        await page.keyboard.press("Enter")
        await expect(page.get_by_label("merchant_id")).to_have_attribute("aria-invalid", "true")
        await expect(page.get_by_text("many is not a whole number")).to_be_visible()
        await page.get_by_label("merchant_id").fill("42")
        await expect(real).to_be_disabled()
        await page.keyboard.press("Enter")
        await expect(page.locator(".would")).to_have_text(re.compile(r"It would have changed \d+ records"))
        would = int(re.findall(r"\d+", await page.locator(".would").inner_text())[0])
        assert would > MAX_AFFECTED
        assert await changed(room) == {}
        await real.press("Enter")
        await page.keyboard.type("poll-paymints")
        await expect(page.get_by_role("button", name="Start", exact=True)).to_be_disabled()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(real).to_be_focused()
        await real.press("Enter")
        assert await barriers(page) == []
        await page.emulate_media(color_scheme="dark")
        await page.set_viewport_size({"width": 390, "height": 700})
        await pictured(page, "console-start.png")
        await page.keyboard.type("poll-payments")
        await page.keyboard.press("Enter")
        await status(page, "succeeded")
        assert await changed(room) == {42: would}
        await expect(page.locator(".slack")).to_contain_text("poll-payments succeeded")


async def test_console_starts_for_real_what_the_form_says(room: Room) -> None:
    """A dry run of other values than those of the form, changed while it went on, opens nothing."""
    async with room.shown("#/start/poll-payments") as watched:
        page = watched.page
        room.behaviour.delay = SLOW_S
        await page.get_by_label("merchant_id").fill("42")
        await page.keyboard.press("Enter")
        await expect(page.locator(".outcome .status")).to_have_text(re.compile("pending|running"))
        await page.get_by_label("merchant_id").fill("43")
        room.behaviour.delay = 0
        await expect(page.locator(".would")).to_be_visible()
        await expect(page.get_by_role("button", name="Start for real")).to_be_disabled()


async def test_console_shows_a_live_run_move_and_stops_it(room: Room) -> None:
    """Progress and rates go on by themselves; after the stop the run is interrupted, and goes on when it is told to."""
    async with room.shown("#/start/poll-payments") as watched:
        page = watched.page
        await tried(page, "whole")
        room.behaviour.delay = SLOW_S
        await page.keyboard.type("poll-payments")
        await page.keyboard.press("Enter")
        await status(page, "running")
        words = page.locator(".going .number")
        await expect(words).to_have_text(re.compile(r"[1-9]\d* (of|records)"))
        before = await words.inner_text()
        await expect(words).not_to_have_text(before)
        await expect(page.locator("path.rate")).to_have_attribute("d", re.compile("M.*L"))
        assert await barriers(page) == []
        if KEPT:
            await page.wait_for_timeout(10_000)  # a curve to be seen
        await pictured(page, "console-run.png")
        await page.get_by_role("link", name="Jobs", exact=True).click()
        await expect(page.locator(".job .progress .number")).to_have_text(re.compile("of"))
        await pictured(page, "console-jobs.png", 450)
        await page.locator(".now .status.live").click()
        await page.get_by_role("button", name="Stop the run").press("Enter")
        await expect(page.get_by_role("button", name="Cancel")).to_be_focused()
        await page.get_by_role("dialog").get_by_role("button", name="Stop the run").click()
        await status(page, "interrupted")
        await expect(page.get_by_role("table").first).to_contain_text("interrupted")
        room.behaviour.delay = 0
        await allowed(page, "Go on")
        await status(page, "succeeded")


async def test_console_replays_dead_letters(room: Room) -> None:
    """Once their cause is mended, a replay leaves none, and is an attempt of its own."""
    async with room.shown("#/runs/poll-payments:whole") as watched:
        page = watched.page
        letters = page.get_by_role("region", name="Dead letters").get_by_role("row")
        await expect(letters).not_to_have_count(0)
        assert await barriers(page) == []
        await room.world.sql("UPDATE payments SET provider_ref = $1 WHERE status = 'processing'", await known(room))
        await allowed(page, "Replay")
        await expect(page.locator(".attempts")).to_contain_text("(replay)")
        await expect(page.get_by_role("region", name="Dead letters")).to_have_count(0)


async def test_console_has_the_page_that_summaries_link(room: Room) -> None:
    """The link of a Slack message asks for the token, and shows its run."""
    code, done = await finished("poll-payments", "--dry-run", **room.world.environment, CONSOLE_URL=f"{room.address}/")
    async with opened(room.browser, done.end["links"]["Run"]) as watched:
        await watched.page.get_by_label("Token").fill(READER.token)
        await watched.page.keyboard.press("Enter")
        await status(watched.page, "succeeded")
        await expect(watched.page.get_by_role("heading", level=1)).to_have_text(done.end["run_id"])
    assert code == 0


async def test_console_lists_jobs_and_runs(room: Room) -> None:
    """A strip of bars a job, walked with the arrow keys, each with its verdict in words; and runs by job and status."""
    async with room.shown() as watched:
        page = watched.page
        bars = page.get_by_role("group", name=re.compile("runs of poll-payments")).get_by_role("link")
        await expect(bars.last).to_have_attribute("aria-label", re.compile("succeeded"))
        await bars.last.focus()
        await page.keyboard.press("ArrowLeft")
        await expect(bars.nth(await bars.count() - 2)).to_be_focused()
        await page.keyboard.press("Enter")
        await status(page, "succeeded")
        await page.get_by_role("link", name="Runs", exact=True).click()
        await page.get_by_label("Job").select_option("audit-payments")
        await expect(page.get_by_text("No runs like that yet")).to_be_visible()
        await page.get_by_label("Job").select_option("poll-payments")
        await expect(page.get_by_role("row")).not_to_have_count(1)
        scope = await page.get_by_role("columnheader", name="Scope").bounding_box()
        assert scope is not None
        assert scope["width"] > 150, "long names leave room for it"
        assert await barriers(page) == []


async def test_console_form_has_an_input_for_each_kind_of_field(room: Room) -> None:
    """Made from the scope's schema; what is typed arrives as the field's type, a secret is not shown."""
    async with room.shown("#/start/audit-payments") as watched:
        page = watched.page
        await page.get_by_label("ids").fill("1, 2\n9007199254740993")
        await page.get_by_label("at_least").fill("0.25")
        await page.get_by_label("since").fill("2026-11-22")
        await page.get_by_label("region").select_option("eu")
        await page.get_by_label("deep").check()
        await page.get_by_label("password").fill("hunter2")
        await expect(page.get_by_label("password")).to_have_attribute("type", "password")
        assert await barriers(page) == []
        async with page.expect_request(re.compile("/admin/audit-payments$")) as sent:
            await page.get_by_role("button", name="Dry run").click()
        body = (await sent.value).post_data
        assert body is not None
        assert '"ids":[1,2,9007199254740993],"at_least":0.25,"since":"2026-11-22","region":"eu","deep":true' in body
        await expect(page.locator(".would")).to_have_text("It would have changed 2 records.")
        await page.get_by_role("button", name="Start for real").click()
        await expect(page.get_by_role("dialog")).to_contain_text("password=***")
        assert "hunter2" not in await page.get_by_role("dialog").inner_text()


async def test_console_shows_hostile_texts_as_texts(room: Room) -> None:
    """Whatever stands in the run store, in the address or in a summary: it is read, not run."""
    await room.world.sql(HOSTILE_RUN, BAIT)
    await room.world.sql(HOSTILE_LETTER, BAIT)
    async with room.shown("#/runs/poll-payments:hostile") as watched:
        page = watched.page
        await expect(page.get_by_role("region", name="Dead letters").get_by_role("row")).to_have_count(2)
        for place in (".head", ".dead", ".more"):
            await expect(page.locator(place)).to_contain_text(BAIT)
        blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": f"<javascript:hacked=1|x> *{BAIT}* `{BAIT}`"}}]
        drawn = await page.evaluate(
            "async (blocks) => (await import('/console/slack.js')).slack(blocks).innerHTML", blocks
        )
        assert "<a" not in drawn
        assert "<img" not in drawn
        for place in ("#/runs/%", f"#/runs/{BAIT}", "#/runs/..%2F..%2Fjobs", f"#/start/{BAIT}", f"#/runs?job={BAIT}"):
            await page.goto(f"{room.address}/console/{place}")
            await expect(page.get_by_role("alert").first).to_be_visible()
        await page.goto(f"{room.address}/console/#/runs?job=poll-payments")
        await expect(page.get_by_text("merchant_id=<img")).to_be_visible()
        assert await page.evaluate("globalThis.hacked") is None
        watched.forgive("Failed to load resource")  # what is not there
    await room.world.sql("DELETE FROM worker.runs WHERE run_key = 'hostile'")


async def test_console_says_what_is_wrong_with_the_run_store(
    room: Room, postgres_server: Postgres, tmp_path: Path
) -> None:
    """The token is good, the store was never made: both are said, in place of a page that stays empty."""
    write_jobs(tmp_path / "jobs")
    url = await postgres_server.database()
    known = {"DATABASE_URL": url, "ADMIN_TOKEN_HASHES": OPS.entry}
    async with served(known, folder=tmp_path) as address, opened(room.browser, f"{address}/console/") as watched:
        await watched.page.get_by_label("Token").fill(OPS.token)
        await watched.page.keyboard.press("Enter")
        alert = watched.page.get_by_role("alert")
        await expect(alert).to_contain_text("The token is good, but the run store refuses this server")
        await expect(alert).to_contain_text("python -m worker migrate")
        watched.forgive("503")
    await postgres_server.drop(url)


async def test_console_says_what_a_token_may_not_do(room: Room) -> None:
    """It is not offered; where it is asked for all the same, the missing right is named."""
    async with room.shown("#/runs/poll-payments:whole", token=READER.token) as watched:
        await expect(watched.page.get_by_role("region", name="Attempts")).to_be_visible()
        await expect(watched.page.locator(".doing").get_by_role("link")).to_have_count(0)
    async with room.shown("#/runs", token=STOPPER.token) as watched:
        await expect(watched.page.get_by_label("Job").get_by_role("option")).to_have_text(["poll-payments"])
        await expect(watched.page.get_by_role("row")).not_to_have_count(1)
    async with room.shown("#/start/audit-payments", token=READER.token) as watched:
        await watched.page.get_by_role("button", name="Dry run").click()
        await expect(watched.page.get_by_role("alert").last).to_contain_text("start:audit-payments")
        watched.forgive("403")


async def test_console_says_that_the_server_is_away_and_comes_back(room: Room) -> None:
    """What was shown stays, and the next answer takes the word back."""
    async with room.shown() as watched:
        page = watched.page
        await expect(page.get_by_role("heading", name="poll-payments")).to_be_visible()
        await page.context.set_offline(True)
        await expect(page.get_by_role("status")).to_contain_text("does not answer")
        await expect(page.get_by_role("heading", name="poll-payments")).to_be_visible()
        await page.context.set_offline(False)
        await expect(page.get_by_role("status")).to_be_hidden()
        watched.forgive("ERR_INTERNET_DISCONNECTED")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_console_fits_a_phone_in_both_lights(room: Room, scheme: Scheme) -> None:
    """Nothing is wider than the screen, and contrast and labels hold in either palette."""
    async with room.shown(width=390, height=844, scheme=scheme) as watched:
        page = watched.page
        for place in ("#/", "#/runs", "#/runs/poll-payments:whole", "#/start/audit-payments"):
            await page.goto(f"{room.address}/console/{place}")
            await expect(page.get_by_role("heading", level=1)).to_be_visible()
            await expect(page.get_by_text("Loading…")).to_have_count(0)
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), place
            assert await barriers(page) == [], place


async def pictured(page: Page, name: str, height: int | None = None) -> None:
    """Take the picture of a page, or of its top; keep it for the documents where that is asked for."""
    size = page.viewport_size
    assert size is not None
    clip: FloatRect = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"]}
    taken = await page.screenshot(animations="disabled", clip=clip)
    assert (PICTURES / name).exists()
    if KEPT:
        (PICTURES / name).write_bytes(taken)


async def tried(page: Page, key: str) -> None:
    """Dry-run the whole job, and be about to start it under this key."""
    await page.get_by_text("Options").click()
    await page.get_by_label("run_key").fill(key)
    await page.get_by_role("button", name="Dry run").click()
    await page.get_by_role("button", name="Start for real").click(timeout=20_000)
    await expect(page.get_by_role("dialog")).to_be_visible()


async def allowed(page: Page, verb: str) -> None:
    """Take up a run again, and let it change as many records as there are."""
    await page.get_by_role("button", name=verb).click()
    await page.get_by_label("max_affected").fill(str(PAYMENTS))
    await page.get_by_label("Type poll-payments").fill("poll-payments")
    await page.keyboard.press("Enter")


async def changed(room: Room) -> dict[int, int]:
    """Count each merchant's payments whose new status a run has recorded."""
    rows = await room.world.sql(
        "SELECT merchant_id, count(*) AS payments FROM payments WHERE updated_at > created_at GROUP BY merchant_id"
    )
    return {row["merchant_id"]: row["payments"] for row in rows}


async def known(room: Room) -> str:
    """Give the reference of a payment that the provider knows."""
    rows = await room.world.sql("SELECT provider_ref FROM payments WHERE status = 'succeeded' LIMIT 1")
    ref: str = rows[0]["provider_ref"]
    return ref
