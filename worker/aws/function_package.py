"""Build the code of the Lambda functions, build/functions-<architecture>-<hash>.zip: the same input gives the same file.

::

    python -m worker.aws.function_package --architecture arm64
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from worker.errors import Faults

LARGEST = 250 * 1024 * 1024
"""Bytes that a function's code may have unzipped (AWS Lambda Developer Guide, "Lambda quotas")."""

RUNTIME = "3.13"
"""The Python that shared.yaml names."""
_WHICH = f"the functions run on {RUNTIME}: name such a Python with --python, with make by FUNCTIONS_PYTHON=/path/to/python{RUNTIME}"

PLATFORMS = {"x86_64": "x86_64-manylinux_2_28", "arm64": "aarch64-manylinux_2_28"}
"""Lambda's names of its architectures to the wheels that Amazon Linux 2023 runs."""

_OURS = ("worker", "jobs")
_LEFT_OUT = {"admin", "local", "testing", "__pycache__"}
_ROOT_ON_LAMBDA = "/var/task"
_SAME_ORDER = {"PYTHONHASHSEED": "0"}
_EARLIEST = (1980, 1, 1, 0, 0, 0)


def build(folder: Path, architecture: str, python: str, source: Path = Path()) -> Path:
    """Fill the folder with all that the functions import, and give the zip file beside it.

    `python` is the program that writes the byte code, of the version that they are to run on. Raises Faults.
    """
    shutil.rmtree(folder, ignore_errors=True)
    _install(source / "requirements.lock", folder, PLATFORMS[architecture], version(python))
    for name in _OURS:
        shutil.copytree(source / name, folder / name, ignore=lambda _, names: _LEFT_OUT & set(names))
    _compile(folder, python)
    if (taken := size(folder)) > LARGEST:
        raise Faults([f"{folder} has {taken:,} bytes, Lambda takes {LARGEST:,}: leave a dependency out"])
    return pack(folder)


def pack(folder: Path) -> Path:
    """Zip the folder beside itself, under a name that its content gives; order, times and modes tell nothing."""
    unnamed = folder.with_suffix(".zip")
    with zipfile.ZipFile(unnamed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), _EARLIEST)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())
    digest = hashlib.sha256(unnamed.read_bytes()).hexdigest()[:16]
    return unnamed.rename(folder.with_name(f"{folder.name}-{digest}.zip"))


def version(python: str) -> str:
    """Ask a Python which it is: 3.13. Raises Faults."""
    try:
        return _run(python, "-c", "import sys; print(*sys.version_info[:2], sep='.')")
    except Faults as error:
        raise Faults([*error.faults, _WHICH]) from error


def size(folder: Path) -> int:
    """Add up the folder's files, in bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(arguments: Sequence[str]) -> int:
    """Build it, say how large it is, print the file's path; on faults, say them and give 2."""
    parser = argparse.ArgumentParser(prog="python -m worker.aws.function_package", description=__doc__)
    parser.add_argument("--architecture", choices=PLATFORMS, default="x86_64")
    parser.add_argument("--python", default=f"python{RUNTIME}", help=f"a Python {RUNTIME}, to write the byte code")
    parser.add_argument("--into", type=Path, default=Path("build"), metavar="FOLDER", help="where to (build)")
    asked = parser.parse_args(arguments)
    folder = asked.into / f"functions-{asked.architecture}"
    try:
        if (found := version(asked.python)) != RUNTIME:
            raise Faults([f"{asked.python} is Python {found}", _WHICH])
        archive = build(folder, asked.architecture, asked.python)
    except Faults as error:
        sys.stderr.write("".join(f"{fault}\n" for fault in error.faults))
        return 2
    mebibytes = [f"{taken / 2**20:.0f} MiB" for taken in (size(folder), archive.stat().st_size)]
    sys.stderr.write(f"{mebibytes[0]} (Lambda takes 250), {mebibytes[1]} zipped\n")
    sys.stdout.write(f"{archive}\n")
    return 0


def _install(lock: Path, folder: Path, platform: str, python: str) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    where = ["--target", str(folder), "--python-platform", platform, "--python-version", python, "--link-mode", "copy"]
    _run(
        uv,
        "pip",
        "install",
        "--quiet",
        *where,
        "--only-binary",
        ":all:",
        "--require-hashes",
        "--requirement",
        str(lock),
    )
    shutil.rmtree(folder / "bin", ignore_errors=True)  # programs that name the Python of this machine
    (folder / ".lock").unlink(missing_ok=True)


def _compile(folder: Path, program: str) -> None:
    """Write the byte code that the runtime would make anew at each cold start; only its own version can."""
    paths = ["-s", str(folder), "-p", _ROOT_ON_LAMBDA, str(folder)]
    _run(program, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", *paths)


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **_SAME_ORDER})
    except OSError as error:
        raise Faults([f"{command[0]} does not run: {error.strerror}"]) from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise Faults([f"{' '.join(command[:3])} … ended with {done.returncode}: {said}"])
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
