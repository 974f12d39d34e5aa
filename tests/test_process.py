"""worker/process.py: what this process has used."""

import subprocess
import sys

from worker.process import cpu_seconds, peak_memory

MIB = 1024 * 1024


def peak_of(code: str) -> int:
    script = f"{code}; from worker.process import peak_memory; print(peak_memory())"
    return int(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout)


def test_process_peak_memory_is_in_bytes() -> None:
    """A process that touched 100 MiB and gave them back has had them."""
    small, large = peak_of("pass"), peak_of(f"del (b := bytearray({100 * MIB}))[:]")
    assert 80 * MIB < large - small < 120 * MIB


def test_process_peak_memory_is_its_own() -> None:
    """A child does not report what its parent had when it was started."""
    ballast = bytearray(150 * MIB)
    assert peak_of("pass") < len(ballast) <= peak_memory()


def test_process_cpu_seconds_grow_with_work() -> None:
    """CPU time passes while there is work."""
    before = cpu_seconds()
    while cpu_seconds() < before + 0.02:
        sum(range(10_000))
