"""A batch worker that runs once, does all the work, and says how it went. Job files import from here alone."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from worker.budget import ErrorBudget
from worker.errors import Permanent, Throttled, Transient
from worker.job import VALUE, Connection, Job, Results, Run, Written, columns
from worker.limits import Limits, Rate
from worker.occasions import Backlog, ObjectCreated
from worker.outcome import Outcome, done, failed, skipped
from worker.retry import Retry
from worker.schedule import Cron, Every, hours, minutes, seconds
from worker.scope import Scope, Secret
from worker.size import Size
from worker.source import Record, Source

if TYPE_CHECKING:
    from worker.clients import figures
    from worker.clients.database import Database
    from worker.clients.dynamodb import Table
    from worker.clients.http import Http
    from worker.clients.s3 import Bucket
    from worker.clients.stripe import Stripe
    from worker.clients.webhooks import Webhooks
    from worker.sources import dynamodb, lists, postgres, s3, sqs

__all__ = [
    "VALUE",
    "Backlog",
    "Bucket",
    "Connection",
    "Cron",
    "Database",
    "ErrorBudget",
    "Every",
    "Http",
    "Job",
    "Limits",
    "ObjectCreated",
    "Outcome",
    "Permanent",
    "Rate",
    "Record",
    "Results",
    "Retry",
    "Run",
    "Scope",
    "Secret",
    "Size",
    "Source",
    "Stripe",
    "Table",
    "Throttled",
    "Transient",
    "Webhooks",
    "Written",
    "columns",
    "done",
    "dynamodb",
    "failed",
    "figures",
    "hours",
    "lists",
    "minutes",
    "postgres",
    "s3",
    "seconds",
    "skipped",
    "sqs",
]

_ADAPTERS = {
    "Bucket": "worker.clients.s3",
    "Database": "worker.clients.database",
    "Http": "worker.clients.http",
    "Stripe": "worker.clients.stripe",
    "Table": "worker.clients.dynamodb",
    "Webhooks": "worker.clients.webhooks",
    "dynamodb": "worker.sources.dynamodb",
    "figures": "worker.clients.figures",
    "lists": "worker.sources.lists",
    "postgres": "worker.sources.postgres",
    "s3": "worker.sources.s3",
    "sqs": "worker.sources.sqs",
}


def __getattr__(name: str) -> Any:
    """Load an adapter when a job first names it: a job pays only for what it uses."""
    if name not in _ADAPTERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(_ADAPTERS[name])
    return getattr(module, name, module)
