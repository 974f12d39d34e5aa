"""Say what keeps a start from happening, all of it at once."""

import logging
import os
import sys

from worker.errors import Faults
from worker.mask import Mask
from worker.report import logs
from worker.verdict import Verdict


def tell(faults: Faults, mask: Mask | None = None) -> int:
    """Print the faults, for a person on a terminal and as one log line elsewhere; give the exit code."""
    mask = mask or Mask()
    said = [mask(fault) for fault in faults.faults]
    if sys.stdout.isatty() or os.environ.get("LOG_FORMAT") == "text":
        lines = "".join(f"  - {fault}\n" for fault in said)
        sys.stderr.write(f"could not start:\n{lines}")
    else:
        logs.configure("json", mask=mask)
        logging.getLogger("worker").error("could not start", extra={"faults": said})
    return Verdict.NOT_STARTED.exit_code
