"""`python -m worker serve` as a process of its own."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent


@asynccontextmanager
async def served(environment: Mapping[str, str], *, folder: Path = ROOT, most: int = 4) -> AsyncIterator[str]:
    """Serve the folder's jobs on a free port, give the address, and hold that it ends well when it is asked to."""
    command = (sys.executable, "-m", "worker", "serve", "--port", "0", "--most", str(most))
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "LOG_FORMAT": "json", **environment}
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=environ, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        line = json.loads(await process.stdout.readline())
        assert line["event"] == "serving"
        heard = asyncio.create_task(process.stdout.read())  # the runs' own lines go there, too
        address = f"http://{line['host']}:{line['port']}"
        assert line["console"] == f"{address}/console/"
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()
    await heard
    assert process.returncode == 0
