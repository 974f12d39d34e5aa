"""What the container may use, asked of its control group: the answer where ECS gives none."""

from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def memory_limit(cgroup: Path = CGROUP) -> int | None:
    """Give the memory limit in bytes; None where there is none."""
    words = _words(cgroup / "memory.max")
    return int(words[0]) if words and words[0].isdecimal() else None


def cpu_limit(cgroup: Path = CGROUP) -> float | None:
    """Give the CPU limit in vCPU; None where there is none."""
    words = _words(cgroup / "cpu.max")
    if len(words) != 2 or not words[0].isdecimal():
        return None
    quota, period = words
    return int(quota) / int(period)


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:  # no cgroup v2 here, or its root, which has no limits
        return []
