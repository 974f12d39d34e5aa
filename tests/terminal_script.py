"""An attempt on a terminal, for test_terminal.py: each step is held until the test has looked at it."""

import asyncio
import logging
import os
import sys

from examples import a_progress, a_start, a_summary, a_tally
from screen import MARK

from worker.environment import settings
from worker.mask import Mask
from worker.report import logs, terminal

LONG_ERROR = "Permanent: No such payment_intent: \x1b[31m'pi_3Nk2x' " + "and so on " * 30 + "\n second line"


def step() -> None:
    """Say that a step is reached, and wait until the test has seen it."""
    os.write(1, MARK.encode())
    sys.stdin.readline()


async def main() -> None:
    """Start, go on, log, print, warn, stop, end."""
    terminal._SHORTEST_S = 0.0
    seen = terminal.terminal_reporter(settings(), Mask(["sk_live_secret"]))
    assert seen is not None
    logs.configure(settings().log_format, mask=Mask(), stream=seen.stream)
    sys.stdin.readline()
    seen.started(a_start())
    seen.progress(a_progress())
    step()
    for number in range(20):
        seen.progress(a_progress(tally=a_tally(read=2_000, done=1_000 + number, failed=3), last_error=LONG_ERROR))
    step()
    logging.getLogger("job").info("a log line of %s", "many words " * 20)
    step()
    print("printed by a job")
    sys.stderr.write("warned by a library\n")
    step()
    seen.progress(a_progress(stopping="SIGTERM: no new records", last_error=LONG_ERROR, limited_by="database"))
    step()
    await seen.ended(a_summary(detail="the key was sk_live_secret"), 5.0)
    logging.getLogger("job").info("after the end")
    seen.close()


asyncio.run(main())
