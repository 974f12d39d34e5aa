"""A job file is short and needs nothing but the worker."""

import ast
import io
import sys
import tokenize
from pathlib import Path

import pytest

from worker import registry

FOLDER = registry.folder() or Path()
FILES = sorted(path for path in FOLDER.glob("*.py") if not path.name.startswith("_"))
MOST = 30
NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def code_lines(source: str) -> int:
    """Count the lines that are neither import nor docstring nor comment nor blank."""
    tree = ast.parse(source)
    aside = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)] + [
        node.body[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and ast.get_docstring(node)
    ]
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = {line for t in tokens if t.type not in NO_CODE for line in range(t.start[0], t.end[0] + 1)}
    return len(lines - {line for node in aside for line in range(node.lineno, (node.end_lineno or 0) + 1)})


def imported(source: str) -> set[str]:
    """Name the packages that it imports, and `worker.…` where it reaches into the worker."""
    nodes = list(ast.walk(ast.parse(source)))
    return {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names} | {
        "." * node.level + (node.module or "") for node in nodes if isinstance(node, ast.ImportFrom)
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_job_file_is_short(path: Path) -> None:
    """What a job is fits on a screen."""
    assert code_lines(path.read_text()) <= MOST


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_job_file_imports_the_worker_alone(path: Path) -> None:
    """All that it needs is in `worker`, or in Python."""
    foreign = {name for name in imported(path.read_text()) if name.partition(".")[0] not in sys.stdlib_module_names}
    assert foreign <= {"worker"}


def test_job_file_lines_are_counted_as_said() -> None:
    """Code in one line or several counts by its lines, a text that is data too; what explains it does not."""
    source = '"""Doc."""\n\nfrom worker import (\n    Job,\n)\n\n# why\nA = """x\n\ny"""\n\ndef f(\n    a,\n):\n    """Doc.\n\n    More.\n    """\n    return a  # why\n'
    assert code_lines(source) == 7
    assert imported(source + "import worker.engine\nfrom . import x\n") == {"worker", "worker.engine", "."}


def test_shared_rates_are_declared_alike() -> None:
    """Jobs that share a limit by its name keep the lowest count, and refuse other windows: one declaration each."""
    rates = {
        (rate.name, rate.count, rate.per)
        for job in map(registry.load, registry.names())
        for rate in job.limits.named
        if rate.shared
    }
    assert len({name for name, _, _ in rates}) == len(rates)
    assert "stripe" in {name for name, _, _ in rates}
