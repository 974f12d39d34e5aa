"""The worked example of docs/when-to-use.md: its sums are those of its prices, for the size and the schedule that are shipped."""

import re
from datetime import timedelta

from definitions import FILES, ROOT, container, filled

from worker import registry
from worker.schedule import Every

PAGE = (ROOT / "docs" / "when-to-use.md").read_text(encoding="utf-8")
X86, ARM = (
    tuple(map(float, re.search(pattern, PAGE).groups()))  # type: ignore[union-attr]
    for pattern in (r"\$([\d.]+) for a vCPU and hour, \$([\d.]+) for a GB", r"On arm64 \(\$([\d.]+) and \$([\d.]+)\)")
)
HOURS = 24 * 30


def hourly(prices: tuple[float, ...]) -> float:
    """Give what the shipped size costs an hour."""
    definition = filled("poll-payments")
    return prices[0] * int(definition["cpu"]) / 1_024 + prices[1] * int(definition["memory"]) / 1_024


def test_cost_of_the_shipped_size() -> None:
    """Each definition has it, and it costs what the page says, shared out as the page says."""
    assert {(filled(name)["cpu"], filled(name)["memory"]) for name in FILES} == {("512", "1024")}
    assert f"1 GB × ${X86[1]} = **${hourly(X86):.4f}**" in PAGE
    assert f"= ${hourly(ARM):.4f} an hour, {1 - hourly(ARM) / hourly(X86):.0%}".replace("%", " %") in PAGE
    sizes = [container(filled("poll-payments"), name)["memory"] for name in ("worker", "datadog-agent", "log_router")]
    assert "{} MiB for the worker, {} for the agent, {} for the log router".format(*sizes) in PAGE


def test_cost_of_a_month() -> None:
    """poll-payments as it is scheduled, the same as a service, and a nightly job."""
    schedule = registry.load("poll-payments").schedule
    assert schedule == Every(minutes=5)
    runs = int(timedelta(hours=HOURS) / schedule.shortest)
    hours = runs * 90 / 3_600
    assert (
        f"{runs:,} runs a month × 90 s = {hours:.0f} h × ${hourly(X86):.4f} = **${hours * hourly(X86):.2f}** a month"
        in PAGE
    )
    assert f"{HOURS} h × ${hourly(X86):.4f} = **${HOURS * hourly(X86):.2f}** a month" in PAGE
    assert f"30 × 1/3 h = 10 h × ${hourly(X86):.4f} = **${10 * hourly(X86):.2f}** a month" in PAGE
