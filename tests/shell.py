"""The shell that tests are run in: what it exports for the worker is meant for its jobs, and would send tests elsewhere."""

from collections.abc import MutableMapping

from worker.environment import VARIABLES
from worker.local.stack import PROVIDED

_OURS = {variable.name for variable in VARIABLES} | set(PROVIDED.values())


def forget(environ: MutableMapping[str, str]) -> None:
    """Take the worker's variables away, such as those that `python -m worker local` prints."""
    for name in [name for name in environ if name in _OURS or name.startswith("JOB_")]:
        del environ[name]
