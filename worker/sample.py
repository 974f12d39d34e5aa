"""Show a result of any kind and size in a few words: masked, long texts and large collections abbreviated, bytes counted."""

from reprlib import Repr
from typing import Any

from worker.mask import Mask

_LONGEST = 300


class Sample(Repr):
    """Write samples: `sample(key, value)`."""

    def __init__(self, mask: Mask) -> None:
        super().__init__()
        self._mask = mask
        self.maxlevel = 3
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = 6
        self.maxstring = self.maxother = 80

    def __call__(self, key: str, value: Any) -> str:
        """Say what would become of the record with this key; of a result without a value, the key alone."""
        said = key if value is None else f"{key}: {self.repr(value)}"
        said = self._mask(said)
        return said if len(said) <= _LONGEST else f"{said[: _LONGEST - 1]}…"

    def repr_str(self, x: str, level: int) -> str:
        """Mask before the cut: half a secret is one, too."""
        return super().repr_str(self._mask(x), level)

    def repr_bytes(self, x: bytes, level: int) -> str:
        """Count bytes: they are files."""
        return f"{len(x):,} bytes"

    repr_bytearray = repr_bytes

    def repr_instance(self, x: Any, level: int) -> str:
        """Cut what an object says of itself, whatever it is and does."""
        try:
            said = self._mask(repr(x))
        except Exception as error:  # noqa: BLE001 - runs a foreign __repr__, which may raise anything
            return f"<{type(x).__name__}, which cannot be shown: {type(error).__name__}>"
        half = self.maxother // 2
        return said if len(said) <= self.maxother else f"{said[:half]}…{said[-half:]}"
