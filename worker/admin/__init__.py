"""Start and watch runs over HTTP: POST /admin/<job>."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.cli.mounting import App


def app(*, most: int = 4, ecs: bool = False) -> "App":
    """Build the API for a service of one's own, as `serve` does: by the environment, at most `most` runs at once, or tasks on ECS.

    Raises Faults where it lacks a token or a run store.
    """
    from worker.cli.mounting import App  # a front door: it knows the run stores, which this folder does not

    return App(most=most, ecs=ecs)
