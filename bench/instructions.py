"""Count the instructions of the no-op path, which other processes do not change: a regression of 5 % shows in spite of noise.

Two runs of different length are counted and their difference is divided by the records between them.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.world import ROOT

_FEW, _MANY = 20_000, 100_000
_ONE_RUN = "from bench.inside import even_clock, seconds; seconds({}, even_clock())"


def instructions() -> tuple[str, float] | None:
    """Give what counted, and the instructions a record; None where neither valgrind nor perf can."""
    for name, count in (("callgrind", _callgrind), ("perf stat", _perf)):
        with ThreadPoolExecutor() as both:
            few, many = both.map(count, (_FEW, _MANY))
        if few and many:
            return name, (many - few) / (_MANY - _FEW)
    return None


def _callgrind(records: int) -> int | None:
    if not shutil.which("valgrind"):
        return None
    with tempfile.TemporaryDirectory() as folder:
        out = f"--callgrind-out-file={Path(folder, 'out')}"
        told = _run("valgrind", "--tool=callgrind", out, *_python(records))
    found = re.search(r"Collected : (\d+)", told)
    return int(found[1]) if found else None


def _perf(records: int) -> int | None:
    if not shutil.which("perf"):
        return None
    found = re.search(
        r"^(\d+),[^,]*,instructions",
        _run("perf", "stat", "-x,", "-e", "instructions:u", *_python(records)),
        re.MULTILINE,
    )
    return int(found[1]) if found else None


def _python(records: int) -> tuple[str, ...]:
    return (sys.executable, "-c", _ONE_RUN.format(records))


def _run(*command: str) -> str:
    environment = {"PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False).stderr


if __name__ == "__main__":
    counted = instructions()
    print(
        f"no-op path: {counted[1]:,.0f} instructions a record ({counted[0]})"
        if counted
        else "no-op path: not counted, for there is neither valgrind nor a perf that may count (apt-get install valgrind)"
    )
