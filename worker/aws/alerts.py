"""Publish a notice to the SNS topic that people and pagers subscribe to."""

from worker.boto import Client
from worker.job import Run
from worker.mask import Mask
from worker.notice import Notice
from worker.scope import Scope

_LONGEST_SUBJECT, _LONGEST_MESSAGE = 100, 200_000


class Alerts:
    """The topic; ALERTS_TOPIC is its ARN."""

    def __init__(self, topic: str, mask: Mask) -> None:
        self._topic, self._mask = topic, mask

    async def publish(self, notice: Notice) -> None:
        """Publish it: the headline as subject, all of it as text, job and kind as attributes to filter by."""
        attributes = {"job": notice.job or "unknown", "kind": notice.kind}
        async with Client(Run("watch", "alerts", Scope()), "sns") as client:
            await client.call(
                "publish",
                TopicArn=self._topic,
                Subject=_subject(self._mask(notice.headline)),
                Message=self._mask(notice.text)[:_LONGEST_MESSAGE],
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
                },
            )


def _subject(text: str) -> str:
    """Give what SNS takes as a subject: printable ASCII on one line."""
    line = " ".join(text.encode("ascii", "replace").decode().split())
    return "".join(filter(str.isprintable, line))[:_LONGEST_SUBJECT] or "a job needs a look"
