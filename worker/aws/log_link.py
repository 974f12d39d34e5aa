"""Where the CloudWatch console shows what a container has said."""

from urllib.parse import quote

_CONSOLES = {"cn": "console.amazonaws.cn", "us-gov": "console.amazonaws-us-gov.com"}


def log_url(group: str, stream: str, region: str) -> str:
    """Link to a log stream."""
    hosts = (host for prefix, host in _CONSOLES.items() if region.startswith(f"{prefix}-"))
    host = next(hosts, "console.aws.amazon.com")
    return (
        f"https://{region}.{host}/cloudwatch/home?region={region}"
        f"#logsV2:log-groups/log-group/{_escaped(group)}/log-events/{_escaped(stream)}"
    )


def firelens_stream(prefix: str, container: str, task_arn: str) -> str:
    """Name the stream that Fluent Bit's `cloudwatch_logs` makes: `log_stream_prefix`, then the tag that FireLens gives."""
    return f"{prefix}{container}-firelens-{task_arn.rpartition('/')[2]}"


def _escaped(name: str) -> str:
    """Escape a name as the CloudWatch console does in its addresses: percent-encoded twice, with $ for %."""
    return quote(quote(name, safe=""), safe="").replace("%", "$")
