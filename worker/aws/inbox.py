"""Turn what arrives at the launcher into requests: plain JSON, a scheduled rule, an object in S3, a letter put back."""

import hashlib
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from worker.errors import Faults
from worker.job import Job
from worker.request import sound

Event = Mapping[str, Any]
Load = Callable[[str], type[Job[Any]]]

_LETTERS = (({"event", "reason", "request_id"}, "event"), ({"requestContext", "requestPayload"}, "requestPayload"))
"""What dead letters are made of, ours (letters.py) and Lambda's own: the event in them is taken as if it came anew."""


def requests(event: Any, names: Iterable[str], load: Load, trigger: str | None = None) -> list[dict[str, Any]]:
    """Give what an event asks for; `trigger` is that of plain requests which name none.

    Raises Faults for one that asks for nothing that we know.
    """
    event = unsealed(event)
    if not isinstance(event, Mapping):
        raise Faults([f"what asks for a run is a JSON object, not {reprlib.repr(event)}"])
    sound(event)
    if event.get("source") == "aws.events":
        return [_scheduled(event)]
    if event.get("source") == "aws.s3":
        return _created(event, names, load)
    if event.get("Event") == "s3:TestEvent" or _is_s3_itself(event.get("Records")):
        raise Faults(
            [
                "S3 notifies the queue itself, which starts no job: turn on EventBridge for the bucket instead, and send its"
                " Object Created here"
            ]
        )
    if "detail-type" in event:
        raise Faults([f"an event {event['detail-type']!r:.100} of {event.get('source')!r:.100} starts no job"])
    return [{**({"trigger": trigger} if trigger else {}), **event}]


def _is_s3_itself(records: Any) -> bool:
    """Tell whether these are S3's own notifications, in which keys are encoded (Amazon S3 User Guide, "Event message structure")."""
    return isinstance(records, list) and any(
        isinstance(record, Mapping) and record.get("eventSource") == "aws:s3" for record in records
    )


def unsealed(event: Any) -> Any:
    """Give the event that a dead letter holds, and any other as it is."""
    while isinstance(event, Mapping) and (held := [field for form, field in _LETTERS if event.keys() >= form]):
        event = event[held[0]]
    return event


def body(text: str) -> Any:
    """Read a message's body; one that is no JSON stays the text that it is, which asks for nothing."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _scheduled(event: Event) -> dict[str, Any]:
    """Read the event of a scheduled rule (Amazon EventBridge User Guide): the rule is named after its job, its time is the run key."""
    try:
        name, time = event["resources"][0].rpartition("/")[2], event["time"]
    except (KeyError, IndexError, AttributeError, TypeError) as error:
        raise Faults([f"a scheduled event names its rule in resources, and its time: {error!r} is missing"]) from error
    known = {"job": name, "run_key": time, "scheduled_time": time}
    return {**known, "trigger": "rule", "started_by": f"rule/{name}"}


def _created(event: Event, names: Iterable[str], load: Load) -> list[dict[str, Any]]:
    """Read "Object Created" as EventBridge tells it (Amazon S3 User Guide): a run for each job that takes such objects."""
    if event.get("detail-type") != "Object Created":
        raise Faults([f"an S3 event {event.get('detail-type')!r:.100} starts no job: only Object Created does"])
    try:
        bucket, thing = event["detail"]["bucket"]["name"], event["detail"]["object"]
        key, version, sequencer = thing["key"], thing.get("version-id"), thing.get("sequencer", "")
    except (KeyError, TypeError) as error:
        raise Faults([f"an S3 event names bucket and object in its detail: {error!r} is missing"]) from error
    if not isinstance(key, str):
        raise Faults([f"an S3 event's object has a key, which {key!r:.100} is not"])
    named = msgspec.json.encode([bucket, key, version, sequencer])
    said = {
        "run_key": f"s3-{hashlib.sha256(named).hexdigest()[:32]}",  # the same event twice is the same run
        "trigger": "s3",
        "started_by": f"s3://{bucket}"[:256],
    }
    found: list[dict[str, Any]] = []
    broken: list[str] = []
    for name in names:
        try:
            declared = load(name).on_object
        except Faults as faults:
            broken += faults.faults
            continue
        if declared is not None and declared.takes(key):
            values = {declared.bucket: bucket, declared.key: key, declared.version: version}
            scope = {field: value for field, value in values.items() if field and value is not None}
            found.append({"job": name, "scope": scope, **said})
    if not found:
        raise Faults([f"no job takes s3://{bucket}/{key}: on_object in a job file says which it does", *broken])
    return found
