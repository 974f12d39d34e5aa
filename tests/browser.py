"""A real browser for the tests of the console: Debian's Chromium, watched for whatever it complains about."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeAlias

import pytest
from npm import installed
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

_AXE = "4.14.1"
_FLAGS = ("--no-sandbox", "--disable-background-networking", "--disable-lcd-text")
_PATIENCE_MS = 20_000
expect.set_options(timeout=_PATIENCE_MS)  # other tests have the machine, too
Scheme: TypeAlias = Literal["light", "dark"]

_VIOLATIONS = """
    addEventListener("securitypolicyviolation", (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`))"""


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Start the browser; skip the test where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("the console is tested in a browser, and there is no chromium here: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=_FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


class Watched:
    """A page and what it complains about: errors of its scripts, what its policy blocked, answers that were refused."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def forgive(self, part: str) -> None:
        """Take out what a test has provoked; it must be there."""
        kept = [each for each in self.complaints if part not in each]
        assert len(kept) < len(self.complaints), f"no complaint about {part} in {self.complaints}"
        self.complaints = kept


@asynccontextmanager
async def opened(
    browser: Browser, address: str, *, width: int = 1280, height: int = 900, scheme: Scheme = "light"
) -> AsyncIterator[Watched]:
    """Open an address in a window of its own; afterwards nothing may have been complained about."""
    context = await browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    context.set_default_timeout(_PATIENCE_MS)
    try:
        await context.add_init_script(_VIOLATIONS)
        watched = Watched(await context.new_page())
        await watched.page.goto(address)
        yield watched
        assert watched.complaints == []
    finally:
        await context.close()


async def barriers(page: Page) -> list[str]:
    """List what keeps people from using the page, as axe-core finds it: WCAG 2.2 A and AA, and its best practices."""
    if not await page.evaluate("'axe' in globalThis"):
        source = installed("axe-core", _AXE) / "node_modules" / "axe-core" / "axe.min.js"
        await page.evaluate(source.read_text())
    found: dict[str, Any] = await page.evaluate("axe.run()")
    return [
        f"{each['id']}: {each['help']}: {node['html'][:200]}" for each in found["violations"] for node in each["nodes"]
    ]
