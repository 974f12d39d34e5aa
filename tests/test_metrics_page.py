"""docs/metrics.md: what is written about metrics is what the code sends."""

import runpy
from pathlib import Path

from worker.report import metrics

DOCS = Path(__file__).parent.parent / "docs"


def test_metrics_page_is_fresh() -> None:
    """The page is what `make metrics` would write."""
    assert (DOCS / "metrics.md").read_text() == runpy.run_path(str(DOCS / "metrics.py"))["page"]()


def test_metrics_page_lists_every_metric_once() -> None:
    """Each metric is in the table that the page is written from, and its name is there once."""
    declared = [value for value in vars(metrics).values() if isinstance(value, metrics.Metric)]
    assert sorted(declared) == sorted(metrics.METRICS)
    assert len({metric.name for metric in metrics.METRICS}) == len(metrics.METRICS)
