"""The hashed locks: what pyproject.toml asks for, in versions that it allows, and nothing that jobs do not need."""

import re
import tomllib

import pytest
from definitions import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOCKS = {
    "requirements.lock": PROJECT["dependencies"],
    "requirements-traces.lock": PROJECT["dependencies"] + EXTRAS["traces"],
    "requirements-dev.lock": PROJECT["dependencies"] + [one for extra in EXTRAS.values() for one in extra],
}


def locked(name: str) -> dict[str, str]:
    """Give the versions of a lock, by package."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return {
        canonicalize_name(package): version
        for package, version in re.findall(r"^([\w.-]+)==([^ ;]+)", text, re.MULTILINE)
    }


@pytest.mark.parametrize("name", LOCKS)
def test_lock_has_what_is_asked_for(name: str) -> None:
    """In a version that is allowed: a requirement that was changed without `make lock` would not reach the image."""
    versions = locked(name)
    for requirement in map(Requirement, LOCKS[name]):
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement


@pytest.mark.parametrize("name", LOCKS)
def test_lock_is_hashed_and_names_no_host(name: str) -> None:
    """What was not locked is refused by pip, wherever it comes from."""
    text = (ROOT / name).read_text(encoding="utf-8")
    entries = re.findall(r"^[\w.-]+==.*?(?=^\S|\Z)", text, re.DOTALL | re.MULTILINE)
    assert len(entries) >= len(locked(name)) > 0  # some have another version for another Python
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text


def test_lock_of_the_image_has_no_extras() -> None:
    """Servers, tests, tracing and what the doctor reads stacks with stay outside."""
    only = {canonicalize_name(Requirement(one).name) for extra in EXTRAS.values() for one in extra}
    assert not only & locked("requirements.lock").keys()
    assert locked("requirements-traces.lock").keys() - locked("requirements.lock").keys() >= {"ddtrace"}
