"""Say what keeps a command from being done: what is wrong, all of it at once, or what is away and passes."""

import logging
import os
import sys
from collections.abc import Sequence

from worker.errors import Faults, Transient
from worker.mask import Mask
from worker.report import logs
from worker.verdict import Verdict


def tell(faults: Faults, mask: Mask | None = None) -> int:
    """Print the faults, for a person on a terminal and as one log line elsewhere; give the exit code."""
    return _say("could not start", faults.faults, mask, Verdict.NOT_STARTED)


def away(error: Transient) -> int:
    """Print what did not answer; the exit code is that of what may be tried again as it is."""
    return _say("away, try again", (str(error),), None, Verdict.INTERRUPTED)


def _say(what: str, why: Sequence[str], mask: Mask | None, verdict: Verdict) -> int:
    mask = mask or Mask()
    said = [mask(fault) for fault in why]
    if sys.stdout.isatty() or os.environ.get("LOG_FORMAT") == "text":
        lines = "".join(f"  - {fault}\n" for fault in said)
        sys.stderr.write(f"{what}:\n{lines}")
    else:
        logs.configure("json", mask=mask)
        logging.getLogger("worker").error(what, extra={"faults": said})
    return verdict.exit_code
