"""Write docs/environment.md from the table in worker/environment.py: `make documents`."""

from pathlib import Path

from worker.environment import VARIABLES

PAGE = Path(__file__).with_suffix(".md")

_HEAD = """\
# Environment

Every variable that the worker reads; an empty one counts as not set. What is malformed or missing is said all at once, before
anything starts (exit 2). On ECS the secrets among them come from the task definition's `secrets`. This page is written by
`make documents` from `worker/environment.py`; a test holds it to the code.

| Variable | What it is for | Default |
| --- | --- | --- |
"""

_FOOT = """
A job's own variables (`STRIPE_API_KEY`, `STRIPE_API_BASE`) are declared in its file: `python -m worker <job> --help` lists them.
`NO_COLOR`, `TERM` and `COLUMNS` are respected on a terminal.
"""


def page() -> str:
    """Give the page."""
    rows = [
        f"| `{variable.name}` | {variable.purpose}{' (a secret)' if variable.secret else ''} | {variable.default or '–'} |\n"
        for variable in VARIABLES
    ]
    return _HEAD + "".join(rows) + _FOOT


if __name__ == "__main__":
    PAGE.write_text(page())
