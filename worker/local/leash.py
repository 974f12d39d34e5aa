"""Tie a server and its folder to this process: whatever ends the process, SIGKILL included, they go too."""

import asyncio
import ctypes
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)

_GUARD = """
cat >/dev/null
if read -r pid <"$1/data/postmaster.pid" && kill -QUIT "$pid"; then
  for _ in $(seq 100); do [ -e "$1/data/postmaster.pid" ] || break; sleep 0.05; done
fi
rm -rf "$1"
"""
"""Waits until nobody holds the other end of its stdin. The server says that it is gone by removing its pid file: in a
container whose first process reaps nobody, `kill -0` would succeed forever."""


def die_with_parent() -> None:
    """Have the kernel end this process when the thread that started it dies (Linux; prctl(2), PR_SET_PDEATHSIG).

    For `Popen(preexec_fn=…)`, which runs after the change of user: that change clears the setting.
    """
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


class Folder:
    """A temporary folder, guarded by a process in its own session that removes it when we are gone, however we went."""

    def __init__(self, name: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"worker-{name}-"))
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    async def remove(self) -> None:
        """Remove it now; what runs in it must have ended."""
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        await asyncio.to_thread(self._guard.wait)
