"""Find what makes a stack's functions fail in silence."""

from collections.abc import Iterator

from worker.aws.definition_faults import is_secret
from worker.aws.doctor import codes
from worker.aws.doctor.finding import Finding
from worker.aws.doctor.template import Resource, Template, either, mappings, says

_BY_REFERENCE = "_ARN"
"""How the name of a variable ends that says where a secret is."""


def weaknesses(template: Template) -> Iterator[Finding]:
    """Say what is amiss with the functions."""
    for function in template.of_type("AWS::Lambda::Function"):
        if "Timeout" not in function.properties:
            yield codes.FUNCTION_TIMEOUT.at(function.place("Timeout"), "is not said", "Timeout: 60")
        if not (function.properties.get("DeadLetterConfig") or function.name in _caught(template)):
            what = "what it fails on goes nowhere"
            line = "AWS::Lambda::EventInvokeConfig with DestinationConfig: {OnFailure: {Destination: !GetAtt DeadLetters.Arn}}"
            yield codes.EVENT_LOST.at(function.place("DeadLetterConfig"), what, line)
        yield from _secrets(function)


def _caught(template: Template) -> set[str]:
    """Name the functions whose failures have a destination, or that somebody has said are not to be tried again."""
    configs = [config.properties for config in template.of_type("AWS::Lambda::EventInvokeConfig")]
    caught = [
        one
        for one in configs
        if says(one.get("DestinationConfig"), "OnFailure") or one.get("MaximumRetryAttempts") == 0
    ]
    return {str(config["FunctionName"].get("Ref")) for config in caught if isinstance(config.get("FunctionName"), dict)}


def _secrets(function: Resource) -> Iterator[Finding]:
    said = [
        given
        for one, _ in mappings(function.properties.get("Environment"))
        for given, _ in mappings(one.get("Variables"))
    ]
    for name, node in (pair for given in said for pair in given.items()):
        for value, _ in either(node):
            if isinstance(value, str) and not name.endswith(_BY_REFERENCE) and is_secret(name, value):
                path = function.place("Environment", "Variables", name)
                what, line = f"{name} is a secret in plain environment", f"{name}{_BY_REFERENCE}: the secret's ARN"
                yield codes.SECRET_IN_PLAIN.at(path, what, line)
