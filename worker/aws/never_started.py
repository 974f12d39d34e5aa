"""Why a container never ran, by the words of the task or of the container, and whether that passes by itself."""

import re

from worker.aws.endings import NOT_EXECUTABLE, Way


def _never(
    pattern: str, verdict: str, what: str, do: str = "", *, passing: bool = False
) -> tuple[re.Pattern[str], Way]:
    """Give a way not to start: one that passes by itself is tried again, any other has to be mended."""
    return re.compile(pattern, re.IGNORECASE | re.DOTALL), Way(verdict, what, safe=passing, restart=passing, do=do)


_PULL = r"CannotPull\w*Error.*"
_ABSENT = r"(not found|manifest unknown|does not exist(?! or)|no such (image|manifest))"
_DENIED = r"(AccessDenied|not authorized|unauthorized|denied|\b403\b|authorization failed|no basic auth)"
_INIT = r"ResourceInitializationError.*"

STARTS = (
    _never(
        _PULL + r"(descriptor matching platform|no matching manifest for)",
        "image for another platform",
        "the image has no build for the task's CPU architecture",
        "build it for the runtimePlatform of the task definition, and push it under a new tag",
    ),
    _never(
        _PULL + r"(toomanyrequests|rate limit|\b429\b|rate exceeded)",
        "registry rate limit",
        "the registry refused the image because of too many pulls",
        "if it comes again: keep the image, the sidecars' too, in ECR",
        passing=True,
    ),
    _never(
        _PULL + r"no space left on device",
        "image too large",
        "the image does not fit on the task's disk",
        "raise ephemeralStorage in the task definition, or make the image smaller",
    ),
    _never(
        _PULL + _DENIED,
        "image denied",
        "the execution role may not pull the image, or its repository is not there",
        "check the image's name, and ecr:BatchGetImage and ecr:GetDownloadUrlForLayer of the execution role",
    ),
    _never(
        _PULL + _ABSENT,
        "image missing",
        "the image that the task definition names is not in its registry",
        "push it, or register a task definition that names one that is there",
    ),
    _never(
        _PULL + r"(failed to unpack|no processor for media-type|invalid tar)",
        "image broken",
        "the image cannot be unpacked",
        "build and push it again, without attestations if the message says in-toto",
    ),
    _never(
        _PULL,
        "registry out of reach",
        "the image could not be pulled: the registry gave no answer",
        "if it comes again: the subnets need a way to ECR and S3 (NAT, or endpoints)",
        passing=True,
    ),
    _never(
        _INIT
        + r"(secret|ssm|parameter|asm)\b.*"
        + r"(ResourceNotFound|can't find|did not contain json key|invalid ssm parameters|invalid character)",
        "secret missing",
        "a secret that the task definition names is not there, or has no such key",
        "make it in Secrets Manager, or mend its ARN in the task definition",
    ),
    _never(
        r"(" + _INIT + r"(secret|ssm|asm|registry auth)|Fetching secret data).*" + _DENIED,
        "secret denied",
        "the execution role may not read a secret that the task definition names",
        "allow it secretsmanager:GetSecretValue on that ARN (and kms:Decrypt on its key)",
    ),
    _never(
        _INIT + r"(secret|ssm|asm|registry auth)",
        "secrets out of reach",
        "the secrets could not be fetched: no answer came",
        "if it comes again: the subnets need a way to Secrets Manager and ECR (NAT, or endpoints), and the security group one out on 443",
        passing=True,
    ),
    _never(
        _INIT + r"(logg(er|ing)).*(ResourceNotFound|does not exist|awslogs-\w+ is required|" + _DENIED + ")",
        "log group missing",
        "the log group is not there, or the execution role may not write to it",
        "deploy the job's stack (job.yaml), which makes both",
    ),
    _never(
        _INIT + r"logg(er|ing)",
        "logs out of reach",
        "the log driver could not be set up: CloudWatch gave no answer",
        "if it comes again: the subnets need a way to CloudWatch Logs (NAT, or an endpoint)",
        passing=True,
    ),
    _never(
        r"Timeout waiting for EphemeralStorage",
        "no disk in time",
        "Fargate did not get the task its disk in time",
        passing=True,
    ),
    _never(
        r"CannotCreateVolumeError|EFS utils|mount\.nfs|failed to invoke EFS",
        "volume not mounted",
        "a volume of the task definition could not be mounted",
        "check the file system, its mount targets, and their security group",
    ),
    _never(
        r"InsufficientFreeAddresses|insufficient free addresses",
        "no address free",
        "the subnet had no free address for the task",
        "give the tasks more or larger subnets: the addresses come back only as tasks end",
        passing=True,
    ),
    _never(
        r"(network interface|\bENI\b|Elastic Network).*(provision|timeout|attach|create)|Timeout waiting for network interface|attempting to Create Network Interface",
        "no network in time",
        "the task got no network interface",
        "AWS's own trouble, some starts in a thousand; if it comes again: the subnets' free addresses, the account's limit of interfaces",
        passing=True,
    ),
    _never(
        r"Capacity is unavailable|RESOURCE:|no (capacity|container instances)|limit on the number of (tasks|vCPUs)",
        "no capacity",
        "there was no capacity for the task",
        "if it comes again: more zones, or FARGATE beside FARGATE_SPOT",
        passing=True,
    ),
    _never(
        r"CannotStartContainerError.*(executable file not found|no such file|permission denied|exec format)|exec format error",
        NOT_EXECUTABLE.verdict,
        NOT_EXECUTABLE.what,
        NOT_EXECUTABLE.do,
    ),
    _never(
        r"(ContainerRuntimeTimeout|DockerTimeout|CannotStartContainer|CannotCreateContainer|CannotInspectContainer|ContainerRuntime|InternalError|Internal)Error",
        "runtime trouble",
        "the container runtime of the host could not start the container",
        passing=True,
    ),
)
"""Why a container never ran, by the words of the task or of the container: the first that fits."""
