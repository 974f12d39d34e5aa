"""Record SIGTERM and SIGINT from the first moment on; the run drains, then the exit code tells."""

import asyncio
import signal
from collections.abc import Callable
from types import FrameType

from worker.stop import Stop

_ASKED_BY = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """Remember signals that arrive before there is anything to stop, and hand them over once there is.

    Not by the loop's own handlers: a loop that is closed gives the signals back their default, which is to die of them.
    """

    def __init__(self) -> None:
        self._received: list[int] = []
        self._tell: Callable[[int], object] = self._received.append
        for number in _ASKED_BY:
            signal.signal(number, self._hear)

    def hand_to(self, stop: Stop) -> None:
        """Ask `stop` for every signal, those that came before included; call it in the running loop."""
        loop = asyncio.get_running_loop()
        self._tell = lambda number: loop.call_soon_threadsafe(stop.ask, signal.Signals(number).name)
        for received in self._received:
            self._tell(received)
        self._received.clear()

    def ignore(self) -> None:
        """Tell nobody any more: how it ended is decided."""
        for number in _ASKED_BY:
            signal.signal(number, signal.SIG_IGN)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._tell(number)
