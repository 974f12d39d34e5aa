"""Find what is wrong with the container that this runs in: .ci/image hands it to the Python in there."""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

TOOLS = ("pip", "pip3", "uv", "apt", "apt-get", "dpkg", "gcc", "g++", "cc", "ld", "make")
MODULES = ("pip", "ensurepip", "worker.admin", "worker.local")


def writable(folder: str) -> bool:
    """Tell whether a file can be made there."""
    try:
        Path(folder, "probe").touch()
    except OSError:
        return False
    return True


def compiled(source: Path) -> bool:
    """Tell whether a source file has its byte code beside it."""
    return any(source.parent.glob(f"__pycache__/{source.stem}.*.pyc"))


def faults() -> list[str]:
    """Say everything that the image or the way it is run should not allow."""
    found = [f"{tool} is in the image" for tool in TOOLS if shutil.which(tool)]
    found += [f"module {name} is in the image" for name in MODULES if find_spec(name)]
    found += [f"{folder} is writable" for folder in ("/", "/app", "/opt/venv", "/tmp") if writable(folder)]
    found += [f"{source} has no byte code" for source in Path("/app").rglob("*.py") if not compiled(source)]
    if os.getuid() == 0:
        found.append("it runs as root")
    if "CapEff:\t0000000000000000" not in Path("/proc/self/status").read_text():
        found.append("it has capabilities")
    return found


if __name__ == "__main__":
    print(f"Python {sys.version.split()[0]}, uid {os.getuid()}, version {os.environ['DD_VERSION']}")
    sys.exit("\n".join(faults()) or None)
