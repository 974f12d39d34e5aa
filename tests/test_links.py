"""The documents point at what is there: every link within the repository, down to its heading."""

import re
from pathlib import Path

import pytest
from definitions import ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")


def prose(page: Path) -> str:
    """Give a page without its code, in which brackets are no links."""
    return re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Give what a page's headings are called in its address, as GitHub makes it of their words."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    """Name the links of a page that lead nowhere."""
    found = []
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Each to a file that is there, and to a heading of it where it names one."""
    assert broken(page) == []


def test_links_that_are_broken_are_found(tmp_path: Path) -> None:
    """The check finds a file and a heading that are not there, and takes those that are."""
    (tmp_path / "there.md").write_text("# Schedule it · AWS\n\n```\n# no heading\n```\n")
    page = tmp_path / "page.md"
    said = "[a](there.md) [b](there.md#schedule-it--aws) [c](there.md#no-heading) [d](gone.md) [e](#page) `[f](code)`\n\n# Page\n"
    page.write_text(said)
    assert broken(page) == ["there.md#no-heading", "gone.md"]
