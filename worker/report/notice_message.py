"""Write the Slack message of a notice, in the form of an attempt's: what it is first, then what happened, then what to do."""

from collections.abc import Iterator

from worker.mask import Mask
from worker.notice import Notice
from worker.report import slack_text
from worker.report.slack_message import LONGEST_HEADER, Block, Message, fits, mrkdwn, section


def notice_message(notice: Notice, mask: Mask) -> Message:
    """Write it, shrunk until Slack takes it."""
    text = f"{notice.sign} {slack_text.words(slack_text.cleaned(notice.headline, mask, LONGEST_HEADER))}"
    whole = f"{text} · {slack_text.words(slack_text.cleaned(' '.join(notice.said), mask, 300))}"
    for longest in (900, 300):
        blocks = tuple(_blocks(notice, mask, longest))
        if fits(blocks):
            return Message(whole, blocks)
    return Message(whole)


def _blocks(notice: Notice, mask: Mask, longest: int) -> Iterator[Block]:
    def words(text: str) -> str:
        return slack_text.words(slack_text.cleaned(text, mask, longest))

    head = f"{notice.sign} {slack_text.cleaned(notice.headline, mask, LONGEST_HEADER - 20)}"
    yield {"type": "header", "text": {"type": "plain_text", "text": head, "emoji": True}}
    facts = [f"*{name}*  {words(value)}" for name, value in notice.facts.items()]
    yield section("\n".join([*map(words, notice.said), *facts]))
    if len(notice.next_command) <= longest:  # one that was cut would be run as it stands
        yield section(f"*Next*  {slack_text.code(slack_text.cleaned(notice.next_command, mask, longest))}")
    links = [slack_text.link(mask.known(url), label, 2_000) for label, url in notice.links.items()]
    if any(links):
        yield section("  ".join(["*Links*", *filter(None, links)]))
    yield {"type": "context", "elements": [mrkdwn(words(notice.origin))]}
