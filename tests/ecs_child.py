"""AWS with an ECS that runs tasks, in a process of its own: moto, with its answers to ECS calls replaced inside that process.

So moto's own Step Functions start and watch such tasks too, once `["state_machines"]` has come in. Every other line of input, `["plant", …]`,
`["strike", …]`, calls LocalEngine's method. Each is answered with a line of JSON. When its input ends, it ends, and every task with it. Its argument is the folder for what tasks write.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ecs_engine import LocalEngine
from ecs_limits import check_definition
from moto.core.responses import ActionResult
from moto.ecs.responses import EC2ContainerServiceResponse as Response
from moto.server import ThreadedMotoServer


def patch(engine: LocalEngine) -> None:
    """Have the engine answer where moto would make believe."""
    register = Response.register_task_definition

    def register_checked(response: Any) -> Any:
        check_definition(response.params)
        return register(response)

    calls = {
        "register_task_definition": register_checked,
        "run_task": answered(engine.run_task),
        "describe_tasks": answered(engine.describe_tasks),
        "list_tasks": answered(engine.list_tasks),
        "stop_task": answered(engine.stop_task),
    }
    for name, call in calls.items():
        setattr(Response, name, call)


def answered(answer: Callable[..., Any]) -> Callable[[Any], Any]:
    """Answer a call of a client with what a method of the engine gives."""
    return lambda response: ActionResult(answer(response.params, response.current_account, response.region))


def state_machines(port: int) -> Callable[[], None]:
    """Import what executes them only for who wants it: it takes a second."""

    def execute() -> None:
        from ecs_step_functions import execute_state_machines

        execute_state_machines(port)

    return execute


if __name__ == "__main__":
    engine = LocalEngine(Path(sys.argv[1]))
    patch(engine)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    engine.url = f"http://127.0.0.1:{port}"
    calls: dict[str, Callable[..., Any]] = {
        "plant": engine.plant,
        "strike": engine.strike,
        "release": engine.release,
        "forget": engine.forget,
        "troubles": engine.troubles,
        "state_machines": state_machines(port),
    }
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    print(port, file=answers, flush=True)
    for line in sys.stdin:
        call, *arguments = json.loads(line)
        print(json.dumps(calls[call](*arguments)), file=answers, flush=True)
