"""ECS Task State Change events, put on moto's default event bus as ECS puts them on EventBridge's.

The form: ECS Developer Guide, "Task state change events": the detail is the task as DescribeTasks gives it, with its `version`.
"""

import json
from datetime import datetime
from typing import Any

from moto.events.models import events_backends


def emit(task: dict[str, Any]) -> None:
    """Put a task's state on the bus of its account and region."""
    region, account = task["taskArn"].split(":")[3:5]
    detail = {key: value for key, value in task.items() if key != "tags"}
    events_backends[account][region].put_events(
        [
            {
                "Source": "aws.ecs",
                "DetailType": "ECS Task State Change",
                "Resources": [task["taskArn"]],
                "Detail": json.dumps(detail | {"updatedAt": datetime.now().astimezone()}, default=_moment),
            }
        ]
    )


def _moment(value: datetime) -> str:
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
