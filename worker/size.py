"""What a task is given: CPU, memory, and the capacity that it runs on."""

from collections.abc import Mapping
from dataclasses import dataclass

_GIB = 1024
FARGATE_SIZES: Mapping[int, tuple[int, ...]] = {
    256: (512, _GIB, 2 * _GIB),
    512: tuple(range(_GIB, 4 * _GIB + 1, _GIB)),
    1024: tuple(range(2 * _GIB, 8 * _GIB + 1, _GIB)),
    2048: tuple(range(4 * _GIB, 16 * _GIB + 1, _GIB)),
    4096: tuple(range(8 * _GIB, 30 * _GIB + 1, _GIB)),
    8192: tuple(range(16 * _GIB, 60 * _GIB + 1, 4 * _GIB)),
    16384: tuple(range(32 * _GIB, 120 * _GIB + 1, 8 * _GIB)),
}
"""CPU units to the MiB of memory that Fargate offers with them (ECS Developer Guide, "Task size")."""

BESIDE = 512
"""MiB of a task's memory that are not the worker's: the sidecars', and the log driver's buffer (tests hold the definitions to it)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """CPU units and MiB of a task, where they are not its definition's: `Size(cpu=1024, memory=2048, spot=True)`.

    `spot` takes Fargate Spot; `provider` names a capacity provider of the cluster instead, such as one of EC2 hosts.
    """

    cpu: int | None = None
    memory: int | None = None
    spot: bool = False
    provider: str | None = None

    def __post_init__(self) -> None:
        if (self.cpu is None) != (self.memory is None):
            raise ValueError(f"a size names cpu and memory, or neither: {self}")
        if self.spot and self.provider:
            raise ValueError(f"spot is Fargate's, or say a provider: {self}")
        if self.cpu is not None and self.memory is not None and not self.provider:
            _check(self.cpu, self.memory)

    @property
    def strategy(self) -> str | None:
        """Name the capacity provider; None: Fargate as it is."""
        return self.provider or ("FARGATE_SPOT" if self.spot else None)

    @property
    def worker_memory(self) -> int | None:
        """Give the MiB that are the worker's own."""
        return None if self.memory is None else max(self.memory - BESIDE, self.memory // 2)


def _check(cpu: int, memory: int) -> None:
    offered = FARGATE_SIZES.get(cpu)
    if offered is None:
        raise ValueError(f"Fargate has no cpu {cpu}; it has {', '.join(map(str, FARGATE_SIZES))}")
    if memory not in offered:
        raise ValueError(f"Fargate has no memory {memory} with cpu {cpu}; it has {', '.join(map(str, offered))}")
