"""Draw the README's pictures from the code that draws a terminal and writes a Slack message: `make documents`."""

from pathlib import Path

from run_svg import run_svg
from slack_svg import slack_svg

HERE = Path(__file__).parent


def pictures() -> dict[Path, str]:
    """Give each picture by the file that holds it."""
    return {HERE / "run.svg": run_svg(), HERE / "slack.svg": slack_svg()}


if __name__ == "__main__":
    for file, drawn in pictures().items():
        file.write_text(drawn)
