"""moto in a process of its own, as moto_child.py, with what releases stand on and moto's CloudFormation and ECS lack.

AWS::NoValue goes from lists, too; a stack that a change set makes has outputs, exports and imports, and can be changed by another; one
that changes nothing is made and FAILED, as AWS does, and not refused; a task has stopped when it is first asked for.
"""

import sys
from typing import Any

from moto.cloudformation import parsing
from moto.cloudformation.models import ChangeSet, cloudformation_backends
from moto.cloudformation.responses import CloudFormationResponse
from moto.moto_api import state_manager
from moto.server import ThreadedMotoServer

whole = parsing.clean_json
update = parsing.parse_and_update_resource


def clean_json(resource: Any, resources: Any) -> Any:
    """Drop what an Fn::If left empty."""
    found = whole(resource, resources)
    return [each for each in found if each is not None] if isinstance(found, list) else found


def changed(name: str, described: Any, resources: Any, **where: str) -> Any:
    """Change a resource that is there; keep it where moto cannot."""
    there = resources[name]
    return there and (update(name, described, resources, **where) or there)


def apply(change_set: ChangeSet) -> None:
    """Make its stack what the change set says, with what others put out, and putting out its own."""
    stack = change_set.stack
    exports = cloudformation_backends[stack.account_id][stack.region_name].exports
    stack.resource_map.cross_stack_resources = exports
    stack.update(change_set.template, parameters=change_set.parameters)
    exports.update({export.name: export for export in stack.exports})


if __name__ == "__main__":
    parsing.clean_json = clean_json  # type: ignore[assignment]
    parsing.parse_and_update_resource = changed  # type: ignore[assignment]
    ChangeSet.apply = apply  # type: ignore[method-assign, assignment]
    CloudFormationResponse._validate_different_update = lambda *_: None  # type: ignore[method-assign]
    state_manager.set_transition("ecs::task", {"progression": "immediate"})
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    print(server.get_host_and_port()[1], flush=True)
    sys.stdin.read()
    server.stop()
