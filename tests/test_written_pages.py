"""Pages that are written from the code: what they say is what the code does."""

import re
import runpy
from pathlib import Path

import pytest

from worker.environment import VARIABLES
from worker.report import metrics

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", ["metrics", "environment", "endings"])
def test_written_page_is_fresh(name: str) -> None:
    """The page is what `make documents` would write."""
    script = ROOT / "docs" / f"{name}.py"
    assert script.with_suffix(".md").read_text() == runpy.run_path(str(script))["page"]()


def test_metrics_page_lists_every_metric_once() -> None:
    """Each metric is in the table that the page is written from, and its name is there once."""
    declared = [value for value in vars(metrics).values() if isinstance(value, metrics.Metric)]
    listed = [*metrics.METRICS, *metrics.WATCHED]
    assert sorted(declared) == sorted(listed)
    assert len({metric.name for metric in listed}) == len(listed)


def test_environment_page_lists_every_variable_that_is_read() -> None:
    """Every name in capitals that the code takes from an environment is in the table, and the reverse."""
    text = "\n".join(path.read_text() for path in (ROOT / "worker").rglob("*.py"))
    taken = r'(?:environ(?:\.get\(|\[)|reader\.\w+\()"([A-Z][A-Z0-9_]+)"'
    read = set(re.findall(taken, text)) - {"NO_COLOR", "TERM", "COLUMNS", "TMPDIR", "PATH", "USER"}
    assert read == {variable.name for variable in VARIABLES} - {"JOB_<FIELD>"}
