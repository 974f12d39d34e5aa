"""What a run says beside its counts: counters and links of the job's own, bounded and made fit to be shown."""

import logging
import math
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

_MOST = 20
_OTHERS = "other"
_LONGEST_NAME = 40
_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]+")


def counters(counted: Mapping[str, float]) -> dict[str, float]:
    """Give at most twenty counters under names that every metric system takes; what is beyond adds up under one name."""
    told: dict[str, float] = {}
    for given, value in counted.items():
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            continue
        name = _NO_NAME.sub("_", str(given)).strip("_")[:_LONGEST_NAME] or _OTHERS
        name = name if name in told or len(told) < _MOST - 1 else _OTHERS
        told[name] = told.get(name, 0) + value
    return told


def links(made: Mapping[str, str], log: logging.Logger) -> dict[str, str]:
    """Give at most twenty links that a browser follows, under short labels; of the others the log hears."""
    told: dict[str, str] = {}
    for given, url in made.items():
        label = " ".join(str(given).split())[:_LONGEST_NAME]
        if not _is_web(url):
            log.warning("link %r is left out: it is no http(s) URL", label)
        elif len(told) == _MOST:
            log.warning("link %r is left out: a summary has %d at most", label, _MOST)
        else:
            told[label] = url
    return told


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except (ValueError, TypeError, AttributeError):
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc) and not re.search(r"\s", url)
