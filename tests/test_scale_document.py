"""docs/scale.md: its plans are what the command prints, and its arithmetic is the planner's."""

import asyncio
import json
import os
import re
import sys

import pytest
from test_documents import ROOT

PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
PLANS = re.findall(r"```sh\n((?:[A-Z_]+=\S+ )*python -m worker launch [^`]*)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)


async def planned(command: str) -> str:
    words = command.replace("\\\n", " ").split()
    said = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
    arguments = words[len(said) + 1 :]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env={"PATH": os.environ["PATH"]} | said, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


@pytest.mark.parametrize(("command", "output"), PLANS)
async def test_scale_document_shows_what_the_plan_says(command: str, output: str) -> None:
    """Word for word: neither asks anybody."""
    assert await planned(command) == output


async def test_scale_document_arithmetic_of_a_billion() -> None:
    """The figures of the table follow from the plan above it."""
    assert len(PLANS) == 2
    told = json.loads(await planned(PLANS[1][0].strip() + " --shards 1000 --json"))
    enough, per_second = told["enough"], told["work"]["writes"]
    thousand = told["ways"][-1]
    plan = json.loads(await planned(PLANS[1][0].strip() + f" --shards {enough} --json"))["ways"][-1]
    days = told["work"]["records"] / (90 * 0.99) / 86_400
    lease_thirds = 5
    for said in (
        f"What {enough} shards ask",
        f"= {days:.0f} days",
        f"{per_second:,.0f} / 500 = {plan['commits_per_second']:.0f} queries a second",
        f"{plan['commits_per_second']:.0f} a second of 500 rows",
        f"{plan['commits_per_second'] / enough:.0f} a second, {1000 * enough / plan['commits_per_second']:.0f} ms for each",
        f"{2 * enough / lease_thirds:.0f} updates a second",
        f"1,000 shards: {2 * 1000 / lease_thirds:.0f} a second",
        f"| {plan['connections']}, and what the jobs open themselves",
        f"{100 // (plan['connections'] // enough)} shards |",
        f"{per_second * 0.15:,.0f} at a time",
        f"1,000 shards: {thousand['duration_s'] - thousand['work_s'] - 40:.0f} s,",
        f"{enough} × 0.5 = {enough * 0.5:.0f} vCPU",
        f"1,000 shards: {1000 * 0.5:.0f} vCPU",
        f"${plan['cost']:.2f} of Fargate",
    ):
        assert said in PAGE, said
