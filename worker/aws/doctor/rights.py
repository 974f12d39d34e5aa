"""Find what a stack's roles may do beyond what anybody has thought of, and who may use what is in it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from worker.aws.doctor import codes
from worker.aws.doctor.finding import Finding
from worker.aws.doctor.template import Template, either, mappings, texts

_WITHOUT_RESOURCE = {
    "cloudwatch:PutMetricData",
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "ec2:UnassignPrivateIpAddresses",
    "ecr:GetAuthorizationToken",
    "ecs:DescribeTaskDefinition",
    "ecs:ListTaskDefinitions",
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}
"""Actions that can be allowed on `*` alone, or that Lambda asks for so (Service Authorization Reference)."""

_TRUSTS = {
    "AWS::IAM::Role": ("AssumeRolePolicyDocument",),
    "AWS::KMS::Key": ("KeyPolicy",),
    "AWS::S3::BucketPolicy": ("PolicyDocument",),
    "AWS::SNS::TopicPolicy": ("PolicyDocument",),
    "AWS::SQS::QueuePolicy": ("PolicyDocument",),
}
"""What says of a resource who may use it."""

_BOUNDS = {kind: "Condition" for kind in _TRUSTS if kind != "AWS::IAM::Role"}
"""What bounds everybody to somebody; of a role nothing does that one would want to rely on."""

_ALL_OF_A_KIND = re.compile(r"(([a-z-]+|\*)[:/])?\*")
_MUCH = ("AdministratorAccess", "PowerUserAccess", "FullAccess")


def excesses(template: Template) -> Iterator[Finding]:
    """Say where a role is allowed too much."""
    for resource in template.resources:
        for name in _TRUSTS.get(resource.type, ()):
            for trust, _ in mappings(resource.properties.get(name)):
                yield from _trust(trust, resource.place(name), bounded_by=_BOUNDS.get(resource.type))
    for resource in template.of_type(
        "AWS::IAM::Role", "AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy"
    ):
        if "PolicyDocument" in resource.properties:
            yield from _document(resource.properties["PolicyDocument"], resource.place("PolicyDocument"))
        for policy, path in mappings(resource.properties.get("Policies"), resource.place("Policies")):
            yield from _document(policy.get("PolicyDocument"), f"{path}.PolicyDocument")
        for arn, path in either(resource.properties.get("ManagedPolicyArns", [])):
            if (template.text(arn) or "").endswith(_MUCH):
                what = f"the managed policy is {template.text(arn)}"
                yield codes.WILDCARD_ACTION.at(
                    f"{resource.place('ManagedPolicyArns')}{path}", what, "name the actions that are used"
                )


def _trust(document: Mapping[str, Any], path: str, *, bounded_by: str | None) -> Iterator[Finding]:
    for statement, where in mappings(document.get("Statement"), f"{path}.Statement"):
        if statement.get("Effect") != "Allow":
            continue
        line = "Principal: {Service: …}, whom it is there for, or a Condition on aws:SourceAccount"
        if "NotPrincipal" in statement:
            yield codes.OPEN_TRUST.at(f"{where}.NotPrincipal", "is everybody else", line)
        elif "*" in texts(statement.get("Principal")) and bounded_by not in statement:
            yield codes.OPEN_TRUST.at(f"{where}.Principal", "is everybody", line)


def _document(node: Any, path: str) -> Iterator[Finding]:
    for document, _ in mappings(node):
        for statement, where in mappings(document.get("Statement"), f"{path}.Statement"):
            if statement.get("Effect") == "Allow":
                yield from _statement(statement, where)


def _statement(statement: Mapping[str, Any], path: str) -> Iterator[Finding]:
    actions = [str(action) for action, _ in either(statement.get("Action", []))]
    if broad := [action for action in actions if "*" in action] or (["NotAction"] if "NotAction" in statement else []):
        yield codes.WILDCARD_ACTION.at(f"{path}.Action", f"allows {', '.join(broad)}", "name the actions that are used")
    resources = [_text(resource) for resource, _ in either(statement.get("Resource", []))]
    wide = [resource for resource in resources if _ALL_OF_A_KIND.fullmatch(_last(resource))]
    wide += ["all but a few (NotResource)"] if "NotResource" in statement else []
    bounded = "Condition" in statement and "iam:PassRole" not in actions  # to whom it is passed says not which
    if wide and not bounded and not set(actions) <= _WITHOUT_RESOURCE:
        what = f"allows {', '.join(actions)} on {', '.join(wide)}"
        yield codes.WILDCARD_RESOURCE.at(f"{path}.Resource", what, "name the resources, by `!GetAtt ….Arn`")


def _text(node: Any) -> str:
    return str(node.get("Fn::Sub", "")) if isinstance(node, dict) else str(node)


def _last(arn: str) -> str:
    """Give what an ARN says of the resource: after its fifth colon, where it has so many, pseudo parameters' own aside."""
    parts = re.sub(r"\$\{[^}]*\}", "x", arn).split(":", 5)
    if parts[2:3] == ["s3"] and not parts[-1].startswith("*"):
        return ""  # what is before the slash is no kind, but one bucket
    return parts[-1] if len(parts) == 6 or arn == "*" else ""
