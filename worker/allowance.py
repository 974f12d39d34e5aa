"""What the next command says of how much the run may change."""

RAISED = "--max-affected N"
"""No number: somebody has to look, and decide."""


def bounded(command: str, most: int | None, *, capped: bool) -> str:
    """Add to a command how much it may change, where somebody said so, or has to: no command allows more than the one before it."""
    if capped:
        return f"{command} {RAISED}"
    return command if most is None else f"{command} --max-affected {most}"
