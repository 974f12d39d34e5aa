"""All that a run store keeps beside the work itself, for those who watch it."""

from typing import NamedTuple

from worker.launches import Launches
from worker.marks import Marks
from worker.runs import Reader


class Books(NamedTuple):
    """What is known of runs, of launches, and what was said of them."""

    reader: Reader
    marks: Marks
    launches: Launches
