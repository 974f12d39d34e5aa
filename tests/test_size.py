"""worker/size.py: what a task may be given, and what of it is the worker's."""

from typing import Any

import pytest
from definitions import FILES, filled

from worker.size import BESIDE, Size


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"cpu": 300, "memory": 512}, "Fargate has no cpu 300"),
        ({"cpu": 512, "memory": 9999}, "with cpu 512; it has 1024"),
        ({"cpu": 512}, "cpu and memory, or neither"),
        ({"spot": True, "provider": "ec2"}, "spot is Fargate's"),
    ],
)
def test_size_that_fargate_has_not_is_refused(given: dict[str, Any], said: str) -> None:
    """When the job file is loaded, not at night."""
    with pytest.raises(ValueError, match=said):
        Size(**given)


def test_size_names_its_capacity() -> None:
    """Hosts of one's own may be of any size."""
    assert Size(provider="ec2", cpu=300, memory=700).strategy == "ec2"
    assert Size(spot=True).strategy == "FARGATE_SPOT"
    assert Size(cpu=256, memory=512).strategy is None
    assert (Size(cpu=1024, memory=2048).worker_memory, Size().worker_memory) == (2048 - BESIDE, None)


@pytest.mark.parametrize("job", sorted(FILES))
def test_size_leaves_beside_the_worker_what_definitions_do(job: str) -> None:
    """A larger task gives all that is more to the worker."""
    definition = filled(job)
    [worker] = [each for each in definition["containerDefinitions"] if each["name"] == "worker"]
    assert int(definition["memory"]) - worker["memory"] == BESIDE
