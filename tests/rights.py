"""What jobs ask of AWS, as it is noted in their own process, and what their templates let them."""

import json
from pathlib import Path

from stacks import JOB, RIGHTS, actions, statements

RECORDING = Path(__file__).parent / "recording"
RUN_TABLE = "worker-runs"
"""The run store's table where all is local: its rights are those of the job's stack."""

_CALLED = {
    "ListObjectsV2": "s3:ListBucket",
    "HeadObject": "s3:GetObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "DeleteMessageBatch": "sqs:DeleteMessage",
    "SendMessageBatch": "sqs:SendMessage",
}
"""The right that a call needs, where it is not called like the call (Service Authorization Reference)."""


def recording(calls: Path) -> dict[str, str]:
    """Give the environment in which a worker notes its calls in a file."""
    calls.touch()
    return {"PYTHONPATH": str(RECORDING), "CALLS": str(calls)}


def needed(calls: Path) -> tuple[set[str], set[str]]:
    """Give the rights that the noted calls need: on what the job works on, and on the run store."""
    noted = [json.loads(line) for line in calls.read_text(encoding="utf-8").splitlines()]
    told = [(_CALLED.get(operation, f"{service}:{operation}"), of == RUN_TABLE) for service, operation, of in noted]
    return {right for right, store in told if not store}, {right for right, store in told if store}


def granted(job: str) -> tuple[set[str], set[str]]:
    """Give the rights that a job's task has: of its own template, and of the run store."""
    own = {action for one in statements(RIGHTS[job]) for action in actions(one)} if job in RIGHTS else set()
    return own, {action for one in statements(JOB) if one.get("Sid") == "RunStore" for action in actions(one)}
