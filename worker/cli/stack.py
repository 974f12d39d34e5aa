"""`local` and `--local`: the servers on this machine, migrated and seeded by us before anybody uses them."""

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from worker import registry
from worker.cli.database import migrated
from worker.errors import Faults
from worker.job import Job


@contextlib.contextmanager
def local_stack(options: argparse.Namespace, job: type[Job[Any]]) -> Iterator[None]:
    """Start what the job needs and the environment does not name, beside us, for as long as the run lasts."""
    child, stack = _room("child"), _room("stack")
    needs = stack.missing(("DATABASE_URL", *job.secrets, *job.environment), os.environ)
    if not needs:
        yield
        return
    flags = [f"--needs={','.join(needs)}", f"--records={options.records}", f"--seed={options.seed}"]
    flags += [f"--provider-{name}={getattr(options, f'provider_{name}')}" for name in ("rate", "delay", "fail")]
    with child.Local(flags) as local:
        os.environ.update(local.environment)
        sys.stderr.write(f"started {', '.join(local.started)}\n")
        yield
    if local.report:
        sys.stderr.write(f"{local.report}\n")


def serve_stack(options: argparse.Namespace) -> int:
    """Serve until stopped."""
    serve, stack, process = _room("serve"), _room("stack"), _room("provider_process")
    provider = process.ProviderOptions(
        rate=options.provider_rate, delay=options.provider_delay, fail=options.provider_fail, seed=options.seed
    )
    needs = options.needs.split(",") if options.needs else stack.PROVIDED

    async def prepare(environment: dict[str, str]) -> None:
        if url := environment.get("DATABASE_URL"):
            await migrated(url)
            await _seed(url, options.records)

    code: int = asyncio.run(serve.serve(needs, provider, prepare=prepare, child=options.child))
    return code


async def _seed(url: str, records: int) -> None:
    """Fill the database with what every job has beside it: jobs/<job>.sql."""
    folder = registry.folder()
    for path in sorted(folder.glob("*.sql")) if folder else ():
        try:
            await _room("seed").seed(url, path.read_text(encoding="utf-8"), records)
        except (Faults, ValueError) as error:  # a ValueError: it is no text
            raise Faults([f"{path.parent.name}/{path.name}: {error}"]) from error


def _room(name: str) -> Any:
    """Load a part of worker.local, which is an extra. Raises Faults where it is not installed."""
    from importlib import import_module

    try:
        return import_module(f"worker.local.{name}")
    except ImportError as error:
        raise Faults(
            [f"the local servers are not installed ({error}): pip install 'ecs-batch-worker[local]'"]
        ) from error
