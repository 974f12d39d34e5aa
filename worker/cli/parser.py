"""A parser that says of an option it does not know which one was meant."""

import argparse
from difflib import get_close_matches
from typing import NoReturn

_UNKNOWN = "unrecognized arguments: "


class Parser(argparse.ArgumentParser):
    """Answer a slip of the pen in one line; to whatever else is wrong, with the usage, as argparse does."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit with 2."""
        said = message.removeprefix(_UNKNOWN).split() if message.startswith(_UNKNOWN) else []
        for unknown in (word.partition("=")[0] for word in said if word.startswith("-")):
            if near := get_close_matches(unknown, self._shown(), 1, 0.7):
                self.exit(2, f"{self.prog}: no option {unknown}; did you mean {near[0]}? (--help has all of them)\n")
        super().error(message)

    def _shown(self) -> list[str]:
        return [
            option for action in self._actions if action.help != argparse.SUPPRESS for option in action.option_strings
        ]
