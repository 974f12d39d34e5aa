"""Record SIGTERM and SIGINT from the first moment on; the run drains, then the exit code tells."""

import asyncio
import signal
from types import FrameType

from worker.stop import Stop

_ASKED_BY = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """Remember signals that arrive before there is anything to stop, and hand them over once there is."""

    def __init__(self) -> None:
        self._received: list[int] = []
        for number in _ASKED_BY:
            signal.signal(number, self._record)

    def hand_to(self, stop: Stop) -> None:
        """Ask `stop` for every signal, those that came before included; call it in the running loop."""
        loop = asyncio.get_running_loop()
        for number in _ASKED_BY:
            loop.add_signal_handler(number, stop.ask, number.name)
        for received in self._received:
            stop.ask(signal.Signals(received).name)
        self._received.clear()

    def ignore(self) -> None:
        """Ask nobody any more: how it ended is decided, and a closed loop would leave the default, which is to die of them."""
        loop = asyncio.get_running_loop()
        for number in _ASKED_BY:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    def _record(self, number: int, frame: FrameType | None) -> None:
        self._received.append(number)
