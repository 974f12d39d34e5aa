"""Find the jobs: one file in `jobs/`, one class in it, checked before anything runs."""

import inspect
import re
import sys
from collections.abc import Sequence
from datetime import timedelta
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from worker.budget import ErrorBudget
from worker.errors import Faults, told, words
from worker.job import Job
from worker.limits import Limits, Rate
from worker.retry import Retry
from worker.scope import RESERVED, Scope

_PACKAGE = "jobs"


def folder() -> Path | None:
    """Give the folder that holds the jobs; None where there is none."""
    spec = find_spec(_PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None


def names() -> list[str]:
    """Give the names of all jobs: their files' names, with dashes."""
    place = folder()
    files = place.glob("*.py") if place else ()
    return sorted(file.stem.replace("_", "-") for file in files if not file.stem.startswith("_"))


def purpose(job: type[Job[Any]]) -> str:
    """Give the first line of the job file's docstring."""
    doc = (sys.modules[job.__module__].__doc__ or job.__doc__ or "").strip()
    return doc.splitlines()[0] if doc else ""


def load(name: str, also: Sequence[str] = ()) -> type[Job[Any]]:
    """Load a job by its name. Raises Faults: no such job (with the nearest name, `also` among them), or all that is wrong with its file."""
    known = names()
    if name not in known:
        raise Faults([_unknown(name, known, also)])
    module_name = f"{_PACKAGE}.{name.replace('-', '_')}"
    try:
        module = import_module(module_name)
    except (
        Exception,
        SystemExit,
    ) as error:  # whatever a job file does when it is loaded, it is its author who must hear of it
        raise Faults([f"job file {_file(name)} cannot be loaded: {told(error)}{_misspelt(error)}"]) from error
    found = [
        item
        for item in vars(module).values()
        if inspect.isclass(item) and issubclass(item, Job) and item.__module__ == module_name
    ]
    if len(found) != 1:
        classes = ", ".join(item.__name__ for item in found) or "none"
        raise Faults([f"job file {_file(name)} must define one subclass of Job; it has {classes}"])
    job = found[0]
    job.name = name
    if faults := broken(job):
        raise Faults([f"job file {_file(name)}: {fault}" for fault in faults])
    return job


def broken(job: type[Job[Any]]) -> list[str]:
    """Find what a job class lacks of the contract."""
    faults = [
        f"{method} is missing: {shape}"
        for method, shape in _MUST.items()
        if getattr(job, method) is getattr(Job, method)
    ]
    for method in ("open", "check", "process", "write"):
        function = getattr(job, method)
        if function is not None and not inspect.iscoroutinefunction(function):
            faults.append(f"{method} must be an async function")
    for name, kind in _KINDS.items():
        if not isinstance(getattr(job, name), kind):
            faults.append(f"{name} must be {kind.__name__}, not {getattr(job, name)!r}")
    if job.max_affected is not None and (not isinstance(job.max_affected, int) or job.max_affected < 0):
        faults.append(f"max_affected must be None or a whole number of 0 or more, not {job.max_affected!r}")
    if job.max_affected is not None and job.write is None:
        faults.append("max_affected bounds what write writes, and there is no write: make the changes in it")
    if not (inspect.isclass(job.Scope) and issubclass(job.Scope, Scope)):
        faults.append(f"its scope {job.Scope!r} must be a subclass of Scope")
    else:
        fields = [field.name for field in msgspec.structs.fields(job.Scope)]
        faults += [
            f"scope field {name!r} has the name of an option; call it otherwise" for name in fields if name in RESERVED
        ]
        filled = [*(job.on_object.fields if job.on_object else ()), *([job.backlog.field] if job.backlog else ())]
        faults += [
            f"on_object or backlog fills {name!r}, which its scope has not" for name in filled if name not in fields
        ]
    if type(job.max_tasks) is not int or job.max_tasks < 1:
        faults.append(f"max_tasks must be a whole number of 1 or more, not {job.max_tasks!r}")
    if (job.backlog or job.on_object) and not job.one_per_scope:
        faults.append(
            "on_object and backlog start runs beside each other, of which one would work: say one_per_scope = True"
        )
    if isinstance(job.secrets, str):
        faults.append(f"secrets must be a tuple of names: ({job.secrets!r},)")
    return faults


_MUST = {
    "source": "def source(self, run) -> Source",
    "process": "async def process(self, record, run) -> Outcome",
}
_KINDS: dict[str, type] = {
    "limits": Limits,
    "retry": Retry,
    "errors": ErrorBudget,
    "timeout": timedelta,
    "idempotent": bool,
}


def _file(name: str) -> str:
    return f"{_PACKAGE}/{name.replace('-', '_')}.py"


def _misspelt(error: BaseException) -> str:
    """Give the nearest name to an argument that a declaration does not have."""
    found = re.fullmatch(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", words(error))
    declared = {kind.__name__: kind for kind in (Limits, Rate, Retry, ErrorBudget)}
    if found is None or (kind := declared.get(found[1])) is None:
        return ""
    near = get_close_matches(found[2], inspect.signature(kind).parameters, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _unknown(name: str, known: Sequence[str], also: Sequence[str]) -> str:
    if near := get_close_matches(name.replace("_", "-"), [*known, *also], 1):
        return f"no job {name!r}; did you mean {near[0]!r}?"
    if not known:
        return f"no job {name!r}: there is no folder {_PACKAGE}/ with job files here"
    return f"no job {name!r}; there are {', '.join(known)}"
