"""Let moto's Step Functions run tasks: `ecs:runTask.sync` against the local ECS, with the errors that AWS documents for it.

A non-empty `failures[]` is `AmazonECS.Unknown`; a task whose essential container ends with another code than 0, or never ran, is
`States.TaskFailed` with the task as Cause (Step Functions Developer Guide, "Run Amazon ECS or Fargate tasks"). In moto, which executes
state machines by code that it shares with LocalStack, the hooks that turn `TaskDefinition` into `taskDefinition` and back are empty, and
so is the place of what evaluates JSONata.
"""

import json
import os
from collections.abc import Callable
from datetime import datetime
from typing import Any

import botocore.session
from jsonata.jsonata import Jsonata
from moto.core.config import default_user_config
from moto.stepfunctions.parser.api import HistoryEventType, TaskFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_callback as callback,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_ecs import (
    StateTaskServiceEcs as Service,
)
from moto.stepfunctions.parser.asl.eval import states, variable_store
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.jsonata import jsonata
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str

_MODEL = botocore.session.get_session().get_service_model("ecs")
_POLL_S = 0.05

task_of = Service._eval_service_task
resolver_of = Service._build_sync_resolver


def execute_state_machines(port: int) -> None:
    """Have state machines really executed, their ECS calls answered at that port."""
    os.environ["MOTO_PORT"] = str(port)
    default_user_config["stepfunctions"]["execute_state_machine"] = True
    callback._DELAY_SECONDS_SYNC_CONDITION_CHECK = _POLL_S  # type: ignore[misc]
    patches: dict[str, Callable[..., Any]] = {
        "_normalise_parameters": _asked,
        "_normalise_response": _answered,
        "_eval_service_task": _run_task,
        "_build_sync_resolver": _resolver,
    }
    for name, patch in patches.items():
        setattr(Service, name, patch)
    jsonata._eval_jsonata = _evaluated
    for module in (states, variable_store):
        setattr(module, "encode_jsonata_variable_declarations", _declared)  # noqa: B010 - no module says that it has it


def _evaluated(expression: str) -> Any:
    """Evaluate JSONata, with the function that Step Functions adds to it."""
    try:
        parsed = Jsonata(expression)
        parsed.register_lambda("parse", json.loads)
        return parsed.evaluate(None)
    except Exception as error:
        raise jsonata.JSONataException("UNKNOWN", f"{error} in {expression}") from error


def _declared(bindings: dict[str, Any]) -> str:
    """Declare variables; moto leaves the quotes in a text as they are."""
    return "".join(f"{name}:={to_json_str(value)};" for name, value in bindings.items())


def _asked(service: Any, parameters: dict[str, Any], *_: Any) -> None:
    service._to_boto_request(parameters, _MODEL.operation_model("RunTask").input_shape)


def _answered(service: Any, response: Any, service_action_name: str = "describe_tasks") -> None:
    name = "RunTask" if service_action_name == "run_task" else "DescribeTasks"
    service._from_boto_response(response, _MODEL.operation_model(name).output_shape)
    if service_action_name == "run_task" and response["Failures"]:
        raise _Failed(response)
    _without_moments(response)


def _without_moments(node: Any) -> None:
    """Give moments as Step Functions does: milliseconds since 1970."""
    for key, value in list(node.items()) if isinstance(node, dict) else enumerate(node):
        if isinstance(value, datetime):
            node[key] = int(value.timestamp() * 1000)
        elif isinstance(value, dict | list):
            _without_moments(value)


class _Failed(Exception):
    """RunTask has answered with failures."""


def _run_task(service: Any, env: Any, *rest: Any, **named: Any) -> None:
    try:
        task_of(service, env, *rest, **named)
    except _Failed as failed:
        raise _failure(service, env, CustomErrorName("AmazonECS.Unknown"), failed.args[0]) from failed


def _resolver(service: Any, env: Any, *rest: Any, **named: Any) -> Callable[[], Any]:
    resolve = resolver_of(service, env, *rest, **named)
    assert resolve

    def checked() -> Any:
        task = resolve()
        if task and any(container.get("ExitCode") != 0 for container in task["Containers"]):
            raise _failure(service, env, StatesErrorName(StatesErrorNameType.StatesTaskFailed), task)
        return task

    return checked


def _failure(service: Any, env: Any, error: Any, cause: Any) -> FailureEventException:
    details = TaskFailedEventDetails(
        error=error.error_name,
        cause=to_json_str(cause),
        resource=service._get_sfn_resource(),
        resourceType=service._get_sfn_resource_type(),
    )
    return FailureEventException(
        FailureEvent(
            env=env,
            error_name=error,
            event_type=HistoryEventType.TaskFailed,
            event_details=EventDetails(taskFailedEventDetails=details),  # type: ignore[typeddict-item]
        )
    )
