"""Secrets in texts, and errors that are the same but for their names and numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.fingerprint import fingerprint
from worker.mask import Mask


@given(st.lists(st.text(min_size=4, max_size=30), max_size=5), st.text(), st.text())
def test_mask_leaves_no_known_secret(secrets: list[str], before: str, after: str) -> None:
    """Wherever a known value stands, it is gone, one that holds another included."""
    mask = Mask(secrets)
    for secret in secrets:
        masked = mask(f"{before}<{secret}>{after}")
        assert secret not in masked.replace("***", "") or secret in mask("")
        assert "<***>" in masked or secret not in f"{before}<{secret}>{after}".replace(secret, "")


@pytest.mark.parametrize(
    ("secret", "text", "masked"),
    [
        ("hunter2!", "login hunter2! refused", "login *** refused"),
        ("a b/c&d", "GET /?key=a%20b%2Fc%26d", "GET /?key=***"),
        ("postgresql://app:s3cr3t@db/x", "password s3cr3t is wrong", "password *** is wrong"),
        ("postgresql://app:p%40ss@db/x", "password p@ss is wrong", "password *** is wrong"),
        ("postgresql://app:p[ss@db/x", "cannot parse postgresql://app:p[ss@db/x", "cannot parse ***"),
        ("yes", "yes, as is", "yes, as is"),
        ("", "as is", "as is"),
        (None, "as is", "as is"),
    ],
)
def test_mask_learns_a_secret(secret: str | None, text: str, masked: str) -> None:
    """A value is masked as it is, quoted, and the password in a URL; what is no URL breaks nothing."""
    assert Mask([secret])(text) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("to postgresql://app:s3cr3t@db:5432/x failed", "to postgresql://app:***@db:5432/x failed"),
        ("redis://:s3cr3t@cache", "redis://:***@cache"),
        ("Authorization: Bearer abcdefgh.123", "Authorization: Bearer ***"),
        ("sk_test_4eC39HqLyjWDarjt", "***"),
        ("xoxb-123456789-abc", "***"),
        ("https://hooks.slack.com/services/T0/B0/xyz", "https://hooks.slack.com/services/***"),
        (
            "https://b.s3.amazonaws.com/k?X-Amz-Date=2026&X-Amz-Credential=AKIA%2F20&X-Amz-Signature=0af9 ok",
            "https://b.s3.amazonaws.com/k?X-Amz-Date=2026&X-Amz-Credential=***&X-Amz-Signature=*** ok",
        ),
        ("https://example.com:8080/a@b", "https://example.com:8080/a@b"),
        ("a bearer of news", "a bearer of news"),
    ],
)
def test_mask_knows_what_looks_like_a_secret(text: str, masked: str) -> None:
    """Passwords in URLs, tokens and keys are masked though nobody named them; what only looks alike is left."""
    assert Mask()(text) == masked


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("no such payment: 'pi_3Nk2Xy'", "no such payment: 'pi_9ZZ8aB'"),
        ("payment pi_3Nk2Xy is gone", "payment pi_9ZZ8aB is gone"),
        ("order 12 costs 3.50", "order 9999 costs 12"),
        ("object at 0x7f4c2e98", "object at 0x1a"),
        ("id 123e4567-e89b-12d3-a456-426614174000", "id 00000000-e89b-12d3-a456-426614174fff"),
        ("broken\nat line 3", "broken\nat another place"),
    ],
)
def test_fingerprint_groups_what_is_the_same(one: str, other: str) -> None:
    """Errors that differ in ids, numbers, quoted values and what follows the first line are one group."""
    assert fingerprint("E", one) == fingerprint("E", other)


def test_fingerprint_tells_others_apart() -> None:
    """Another type or another sentence is another group."""
    assert len({fingerprint("A", "too long"), fingerprint("B", "too long"), fingerprint("A", "too short")}) == 3


@given(st.text(), st.text(max_size=5_000))
def test_fingerprint_is_short_and_stable(type_name: str, message: str) -> None:
    """Whatever an error says, its group is one bounded line of it, and the same each time."""
    group = fingerprint(type_name, message)
    assert len(group) <= 200
    assert group == fingerprint(type_name, message)
