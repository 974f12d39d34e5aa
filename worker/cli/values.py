"""Values of flags, read and refused in words."""

import argparse
import re
from datetime import timedelta
from ipaddress import ip_network
from math import inf


def age(text: str) -> timedelta:
    """Read `90d`, `12h` or `2w`."""
    match = re.fullmatch(r"(\d{1,5})([hdw])", text)
    if match is None or int(match[1]) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not an age such as 90d, 12h or 2w")
    return timedelta(**{{"h": "hours", "d": "days", "w": "weeks"}[match[2]]: int(match[1])})


def network(text: str) -> str:
    """Read `10.0.0.0/8`."""
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no network such as 10.0.0.0/8") from error


def days(text: str) -> int:
    """Read a whole number of days, ten years at most."""
    if positive(text) > 3_650:
        raise argparse.ArgumentTypeError(f"{text} days are more than ten years: a token must end")
    return int(text)


def positive(text: str) -> int:
    """Read a whole number of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def above_0(text: str) -> float:
    """Read a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number
