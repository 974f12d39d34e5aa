"""`new`: write a job on PostgreSQL with its seed, its test and its task definition, ready to run."""

import argparse
import keyword
import re
import sys
from pathlib import Path

import worker
from worker import registry
from worker.cli.commands import PROGRAM
from worker.errors import Faults

_TEMPLATES = Path(__file__).parent / "templates"
_FILES = {
    "job.py": "jobs/{module}.py",
    "seed.sql": "jobs/local/{module}.sql",
    "task_definition.json": "task-definitions/{name}.json",
    "checks.py": "tests/test_{module}.py",
}
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z][a-z0-9]*)+")
_LONGEST = 30
_TAKEN = {"self", "run", "reference", *keyword.kwlist, *worker.__all__}
"""Nouns that mean something else already, in Python, in the job's file or in SQL."""


def write_job(options: argparse.Namespace) -> int:
    """Write the files of a new job and say how to go on. Raises Faults for a bad name and where a file is there already."""
    folder = registry.folder()
    if folder is None:
        raise Faults(["there is no folder jobs/ here: start it where the job is to be, in the repository's root"])
    words = _words(options.name, folder / "local")
    written = {
        folder.parent / path.format(name=options.name, module=words["move_crates"]): _worded(template, words)
        for template, path in _FILES.items()
    }
    if there := [path.relative_to(folder.parent) for path in written if path.exists()]:
        raise Faults([f"{path} is there already: nothing was written" for path in there])
    for path, text in written.items():
        path.parent.mkdir(exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
        sys.stdout.write(f"wrote {path.relative_to(folder.parent)}\n")
    test = _FILES["checks.py"].format(module=words["move_crates"])
    sys.stdout.write(f"\nNow try it:\n  {PROGRAM} {options.name} --local --twice\n  python -m pytest {test}\n")
    return 0


def _words(name: str, seeds: Path) -> dict[str, str]:
    """Say what each word of the templates becomes. Raises Faults where the name would make no job."""
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise Faults(
            [
                f"{name!r} is no name for a job: say what it does to what, in lower-case words with dashes between, at most "
                f"{_LONGEST} letters: remind-customers"
            ]
        )
    module, (noun, nouns) = name.replace("-", "_"), _noun(name.rpartition("-")[2])
    title = "".join(word.capitalize() for word in name.split("-"))
    seeded = "\n".join(path.read_text(encoding="utf-8") for kind in ("sql", "py") for path in seeds.glob(f"*.{kind}"))
    return {
        "move-crates": name,
        "move_crates": module,
        "MoveCrates": title,
        "Move crates": name.replace("-", " ").capitalize(),
        "Crates": nouns.capitalize(),
        "crates": module if re.search(rf"\b{nouns}\b", seeded) else nouns,  # another job's table may look otherwise
        "crate": noun,
    }


def _noun(word: str) -> tuple[str, str]:
    """Give singular and plural of a word, as far as English is regular; a record where it would mean something else."""
    if word.endswith("ies"):
        noun, nouns = f"{word[:-3]}y", word
    elif re.search(r"(s|x|z|ch|sh)es$", word):
        noun, nouns = word[:-2], word
    elif word.endswith("s") and not word.endswith("ss"):
        noun, nouns = word[:-1], word
    else:
        noun, nouns = word, f"{word}s"
    return ("record", "records") if _TAKEN & {noun, nouns, nouns.capitalize()} else (noun, nouns)


def _worded(template: str, words: dict[str, str]) -> str:
    """Give a template in the words of the new job."""
    either = re.compile("|".join(rf"(?<![A-Za-z]){word}(?![a-z])" for word in words))
    return either.sub(lambda found: words[found[0]], (_TEMPLATES / template).read_text(encoding="utf-8"))
