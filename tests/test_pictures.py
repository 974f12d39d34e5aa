"""docs/pictures: the README shows what the code draws today."""

import re
import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[Path, str]:
    monkeypatch.syspath_prepend(str(PICTURES))
    pictures: dict[Path, str] = runpy.run_path(str(PICTURES / "make.py"))["pictures"]()
    return pictures


def test_pictures_are_fresh(drawn: dict[Path, str]) -> None:
    """Each picture is what `make documents` would draw."""
    assert {file.name for file in drawn} == {"run.svg", "slack.svg"}
    for file, picture in drawn.items():
        assert file.read_text() == picture, f"{file.name} is stale: run `make documents`"


def test_pictures_fetch_nothing(drawn: dict[Path, str]) -> None:
    """No font, image or script comes from elsewhere: the only address is the name of SVG itself."""
    for picture in drawn.values():
        assert set(re.findall(r"https?://[^\s\"'<)]+", picture)) == {"http://www.w3.org/2000/svg"}
        assert not re.search(r"@import|@font-face|<script|<image|<foreignObject", picture)


def test_pictures_say_how_the_run_went(drawn: dict[Path, str]) -> None:
    """The pictures hold the words that terminal and Slack show."""
    words = {file.name: "".join(ElementTree.fromstring(picture).itertext()) for file, picture in drawn.items()}
    assert "poll-payments" in words["run.svg"]
    assert "exit\xa00:\xa0succeeded" in words["run.svg"]
    assert "poll-payments completed with 5 failures" in words["slack.svg"]


def test_pictures_of_the_console_are_shown_and_small() -> None:
    """Each that its tests take is in a document; together they are no burden to a clone."""
    taken = sorted(PICTURES.glob("*.png"))
    text = "".join(page.read_text() for page in (PICTURES.parent.parent / "README.md", *PICTURES.parent.glob("*.md")))
    assert [file.name for file in taken if f"pictures/{file.name}" not in text] == []
    assert 0 < sum(file.stat().st_size for file in taken) < 600_000
