"""Judge how a task ended: one verdict, whether the same run may be started again as it is, and the command that comes next."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from worker.aws import endings
from worker.aws.definition_faults import FARGATE_SIZES
from worker.aws.endings import Way
from worker.aws.never_started import STARTS
from worker.aws.stopped import Stopped
from worker.runs import KILLED

_OWN = {0: endings.SUCCEEDED, 1: endings.FAILED, 2: endings.COULD_NOT_START, 3: endings.LEASE_LOST}
"""What the worker decided itself, whatever stopped the task then."""
_SIGKILL, _SIGTERM, _INTERRUPTED = 137, 143, 75
_BY_CODE = {
    _INTERRUPTED: endings.INTERRUPTED,
    _SIGKILL: endings.KILLED,
    _SIGTERM: endings.TERMINATED,
    **dict.fromkeys((125, 126, 127), endings.NOT_EXECUTABLE),
}
_TOLD = (0, 1, 3, _INTERRUPTED)
"""Exit codes after which the worker has told Slack itself, where there was something to tell."""
_BY_ECS = (_SIGKILL, _SIGTERM, _INTERRUPTED, None)
"""How the worker ends where ECS stops it."""
_SHOWN = (endings.SUCCEEDED, endings.LEASE_LOST, endings.FAILED)
"""What is looked at before anything is started."""
_DEADLINE = re.compile(r"^the deadline of .* passed")

SAFE = "The same run may be started again as it is: what was committed stays, and it goes on from there"
UNSAFE = "Started again as it is it would most likely end the same: mend it first; nothing is lost meanwhile, what was committed stays"
OVER = "Nothing has to be done: started again it does what is left, if anything is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a task ended, and what follows from that."""

    verdict: str
    safe_to_start_again: bool
    """As it is: nothing has to be mended first."""
    why: str
    do: str = ""
    """What a person does about it."""
    next_command: str
    restart: bool = False
    """Whether it is started again by itself."""
    silent: bool = False
    """Whether the worker could not tell Slack of it."""

    @property
    def failed(self) -> bool:
        """Tell whether somebody has to hear of it: all but a success, and one that was followed by another attempt."""
        return self.verdict not in (endings.SUCCEEDED.verdict, endings.LEASE_LOST.verdict)

    @property
    def safety(self) -> str:
        """Say whether the same run may be started again."""
        if self.verdict == endings.SUCCEEDED.verdict:
            return OVER
        return SAFE if self.safe_to_start_again else UNSAFE

    @property
    def message(self) -> str:
        """Say what happened, what is safe, and the next command."""
        return f"{' '.join(self.sentences)} Next: {self.next_command}"

    @property
    def sentences(self) -> tuple[str, ...]:
        """Say what happened, what is safe, and what to do: apart, for Slack may have no room for all of ECS's own words."""
        when = "" if self.safe_to_start_again else " first"  # the next command starts it again: not as it is
        return (f"{self.why}.", f"{self.safety}.", *([f"What to do{when}: {self.do}."] if self.do else ()))


def explain(task: Stopped, said: str = "", scope: str | None = "") -> Ending:
    """Judge it; `said` is what the worker noted of its end in the run store.

    `scope` is the run's as the command line takes it, None where it cannot be shown there.
    """
    way = _way(task, said)
    return Ending(
        verdict=way.verdict,
        safe_to_start_again=way.safe,
        why=_why(task, way, said),
        do=larger(task) if way is endings.OUT_OF_MEMORY else way.do,
        next_command=_next(task, way, scope),
        restart=way.restart,
        silent=task.exit_code not in _TOLD,
    )


def _way(task: Stopped, said: str) -> Way:
    if task.exit_code in _OWN and not (task.exit_code and _out_of_memory(task)):
        return _OWN[task.exit_code]
    if _out_of_memory(task):
        return endings.OUT_OF_MEMORY
    if task.exit_code == _INTERRUPTED and _DEADLINE.search(said):
        return endings.DEADLINE
    if task.exit_code in _BY_ECS and (way := _elsewhere(task)):
        return way
    if task.exit_code is None:
        return _without_code(task)
    return _BY_CODE.get(task.exit_code) or (
        endings.CRASHED_NATIVE if 128 < task.exit_code < 160 else endings.UNKNOWN_CODE
    )


def _out_of_memory(task: Stopped) -> bool:
    return re.search(r"OutOfMemoryError|OOMKilled|killed due to memory usage", task.reason, re.IGNORECASE) is not None


def _elsewhere(task: Stopped) -> Way | None:
    """Give who stopped it, where that was neither the worker nor its deadline."""
    for pattern, way in endings.ELSEWHERE:
        if pattern.search(task.reason):
            return way
    return endings.BY_STOP_CODE.get(task.stop_code) or (endings.SIDECAR_ENDED if _left_alone(task) else None)


def _left_alone(task: Stopped) -> bool:
    """Tell whether the worker was asked to stop because a sidecar had failed: one that is only stopped along exits 0, or of its signal."""
    asked = task.exit_code in (_INTERRUPTED, _SIGTERM)
    return asked and any(code not in (None, 0, _SIGKILL, _SIGTERM) for code in task.sidecars.values())


def _without_code(task: Stopped) -> Way:
    for pattern, way in STARTS:
        if pattern.search(task.reason):
            return way
    return endings.UNSEEN if task.started else endings.NOT_STARTED


def _why(task: Stopped, way: Way, said: str) -> str:
    code = "no exit code" if task.exit_code is None else f"exit code {task.exit_code}"
    heard = f" ({task.stop_code or 'no stop code'}, {code}{f': {task.reason}' if task.reason else ''})"
    who = f"{task.job} (the command {task.aside}, not the job)" if task.aside else task.job
    others = f"; {_codes(task)}" if way is endings.SIDECAR_ENDED else ""
    own = f"; the worker said: {said}" if said and said != KILLED else ""
    return f"{who}: {way.what}{heard}{others}{own}"


def _codes(task: Stopped) -> str:
    return ", ".join(f"{name} exited {code}" for name, code in task.sidecars.items() if code is not None)


def larger(task: Stopped) -> str:
    """Suggest twice the memory for the worker, and the smallest size of Fargate's that has it beside the sidecars'."""
    own = task.worker_memory or task.memory
    sizes = [(memory, cpu) for cpu, all_of_it in FARGATE_SIZES.items() for memory in all_of_it]
    fitting = sorted(size for size in sizes if size[0] >= task.memory + own and size[1] >= task.cpu)
    if not task.memory:
        return "give it more memory: its summaries say how much it used at most"
    had = f"the worker had {own} MiB in a task of cpu {task.cpu} and memory {task.memory}"
    if not fitting:
        return f"{had}, and Fargate offers no twice of that: share the run out (shards), or lower page_size and concurrency"
    memory, cpu = fitting[0]
    return f"{had}: give it {2 * own}, and the task cpu {cpu} and memory {memory}, or lower page_size and concurrency"


def _next(task: Stopped, way: Way, scope: str | None) -> str:
    """Give a command that can be run as it stands: the run's start where its words are all known, else what shows it."""
    if task.run_key is None:
        return f"python -m worker runs {task.job}"
    bounds = _bounds(task)
    if way in _SHOWN or scope is None or bounds is None:
        return f"python -m worker runs show {task.job}:{task.run_key}"
    shard = ["--shard", task.environment["SHARD"]] if task.shard else []
    return " ".join(
        filter(None, ["python -m worker launch", task.job, "--run-key", task.run_key, scope, *shard, *bounds])
    )


def _bounds(task: Stopped) -> Sequence[str] | None:
    """Give what the task's command said beside its environment, as `launch` takes it; None for what it does not take."""
    if task.aside or "--shards" in task.command:
        return None
    dry = ["--dry-run"] if "--dry-run" in task.command else []
    most = {word: after for word, after in pairwise(task.command) if word in ("--max-records", "--max-affected")}
    return [*dry, *(said for pair in most.items() for said in pair)]
