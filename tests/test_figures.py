"""worker/clients/figures.py and what puts reports into S3: the same rows make the same files, wherever and whenever."""

import sys
from decimal import Decimal
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest
from aws import REGION, Aws

from worker import Bucket, Run, Scope, figures

ROWS = [{"hour": hour, "revenue": Decimal(hour * 7919 % 500) / 4} for hour in range(24)]
SVG = "{http://www.w3.org/2000/svg}"


def test_figures_csv_names_its_columns() -> None:
    """Values stand as they are, quoted where they must be; no rows, no file."""
    assert figures.csv([{"a": 1, "b": 'x,"y"'}, {"b": None, "a": Decimal("0.50")}]) == b'a,b\n1,"x,""y"""\n0.50,\n'
    assert figures.csv([]) == b""


def test_figures_bars_are_drawn_for_each_row() -> None:
    """A bar a row, none for nothing at all; title and axes are said, whatever characters are in them."""
    drawn = ElementTree.fromstring(figures.bars(ROWS, "hour", "revenue", title="<eu> & more"))
    texts = "".join(drawn.itertext())
    assert all(text in texts for text in ("<eu> & more", "hour", "revenue"))
    assert len([bar for bar in drawn.iter(f"{SVG}rect") if "rect reactive" in bar.get("class", "")]) == len(ROWS)
    assert b"No data" in figures.bars([], "hour", "revenue", title="nothing")


def test_figures_bars_are_the_same_tomorrow() -> None:
    """No time, no random id, no script and nothing to be fetched: the same rows give the same bytes."""
    drawn = figures.bars(ROWS, "hour", "revenue", title="eu")
    assert drawn == figures.bars(ROWS, "hour", "revenue", title="eu")
    assert b"<!--" not in drawn
    assert b"<script" not in drawn
    assert drawn.count(b"http") == drawn.count(b"http://www.w3.org/")
    assert not any(type(finder).__module__ == "pygal" for finder in sys.meta_path)


async def test_bucket_updates_what_differs(aws: Aws) -> None:
    """What is there as it is stays; what is new, shorter or otherwise is put; a dry run says so and puts nothing."""
    name = aws.bucket(versioned=True)
    aws.put(name, {"same": "1", "other": "1", "longer": "1"})
    files = {"same": b"1", "other": b"2", "longer": b"11", "new.svg": b"1"}
    for dry_run in (True, False):
        async with Bucket(Run("job", "key", Scope(), dry_run=dry_run), name) as bucket:
            assert list(await bucket.update(files)) == ["other", "longer", "new.svg"]
            assert (aws.keys(name) == sorted(files)) is not dry_run
    async with Bucket(Run("job", "key", Scope()), name) as bucket:
        assert await bucket.update(files) == {}
    assert len(aws.s3.list_object_versions(Bucket=name)["Versions"]) == 3 + 3
    assert aws.s3.head_object(Bucket=name, Key="new.svg")["ContentType"] == "image/svg+xml"


async def test_bucket_address_is_the_console_or_the_other_s3(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leads to the object and has no signature."""
    async with Bucket(Run("job", "key", Scope()), "b") as bucket:
        assert bucket.address("a/ü &.csv") == f"{aws.url}/b/a/%C3%BC%20%26.csv"
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    async with Bucket(Run("job", "key", Scope()), "b") as bucket:
        address = bucket.address("a/ü &.csv")
    assert urlsplit(address).netloc == f"{REGION}.console.aws.amazon.com"
    assert address.endswith(f"/s3/object/b?region={REGION}&prefix=a/%C3%BC%20%26.csv")
