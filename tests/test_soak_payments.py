"""The long proofs of the main job: its rate over half a minute, its memory over a million records."""

import asyncio
import json
from pathlib import Path

import pytest
from payments import SQL
from worker_process import finished

from worker.cli.database import migrated
from worker.local.provider_process import ProviderOptions, ProviderProcess
from worker.local.seed import seed

pytestmark = pytest.mark.soak

ROOT = Path(__file__).parent.parent
RATE, SECONDS = 500, 30

TIMED = f'''
"""The main job, noting when it sends."""
import json, time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

spec = spec_from_file_location("original", {str(ROOT / "jobs" / "poll_payments.py")!r})
original = module_from_spec(spec)
spec.loader.exec_module(original)

class Timed(original.PollPayments):
    async def open(self, run):
        await super().open(run)
        self.sends = []
        run.resources.callback(lambda: Path("sends.json").write_text(json.dumps(self.sends)))

    async def process(self, payment, run):
        self.sends.append(time.monotonic())
        return await super().process(payment, run)
'''


def most_in_a_second(sends: list[float]) -> int:
    """Count the most sends in any half-open window of one second."""
    most = first = 0
    for position, sent in enumerate(sends):
        while sends[first] <= sent - 1.0:
            first += 1
        most = max(most, position - first + 1)
    return most


async def test_soak_rate_holds_in_every_window(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over 30 s at 500/s no second has more than 500 sends, the provider sees at most 505, and 98 % of the rate is used."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "__init__.py").write_text("")
    (tmp_path / "jobs" / "timed.py").write_text(TIMED)
    await migrated(database_url)
    await seed(database_url, SQL.read_text(), RATE * (SECONDS + 2))
    async with ProviderProcess(ProviderOptions(rate=0, delay=0.02, fail=0.02)) as provider:
        monkeypatch.chdir(tmp_path)
        environment = _environment(database_url, provider) | {"WORKER_RATE": str(RATE), "PYTHONPATH": str(ROOT)}
        code, _ = await finished("timed", **environment)
        seen = await _seen(provider)
    assert code == 0
    sends = json.loads((tmp_path / "sends.json").read_text())
    half_a_minute = [sent for sent in sends if sent < sends[0] + SECONDS]
    print(
        f"sends/s at most {most_in_a_second(sends)}, arrivals/s at most {seen}, mean {len(half_a_minute) / SECONDS:.1f}"
    )
    assert code == 0
    assert most_in_a_second(sends) <= RATE
    assert seen <= 1.01 * RATE
    assert len(half_a_minute) / SECONDS >= 0.98 * RATE


async def test_soak_memory_does_not_grow_with_the_table(database_url: str) -> None:
    """Peak memory at 1,000,000 payments is within 10 % of that at 100,000, and under 120 MB."""
    await migrated(database_url)
    async with ProviderProcess(ProviderOptions(rate=0, delay=0, fail=0)) as provider:
        environment = _environment(database_url, provider) | {"WORKER_RATE": "0"}
        peaks: dict[int, int] = {}
        for records in (100_000, 1_000_000):
            await seed(database_url, "TRUNCATE payments" if peaks else "SELECT 1", 0)
            await seed(database_url, SQL.read_text(), records)
            code, done = await finished("poll-payments", **environment)
            assert (code, done.end["tally"]["read"]) == (0, records)
            peaks[records] = done.end["peak_memory"]
    print({records: f"{peak / 1e6:.1f} MB" for records, peak in peaks.items()})
    small, large = peaks.values()
    assert large <= 1.1 * small
    assert large < 120e6


def _environment(database_url: str, provider: ProviderProcess) -> dict[str, str]:
    return {"DATABASE_URL": database_url, "STRIPE_API_BASE": provider.url, "STRIPE_API_KEY": provider.api_key}


async def _seen(provider: ProviderProcess) -> int:
    """Ask the provider for the most arrivals that it saw in any second."""
    counts = await asyncio.to_thread(provider.counts)
    return int(counts["most_in_a_second"])
