"""The provider's customers: as many as it is told to have, the last of them created now, until a test changes or deletes some."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from time import time
from typing import Any

from msgspec import Raw, Struct
from msgspec.json import encode

from worker.local.fate import fate

_APART_S = 37


class Customer(Struct, kw_only=True):
    """A Customer as Stripe's API reference lists it; what is the same for all of them is a default."""

    id: str
    object: str = "customer"
    address: None = None
    balance: int = 0
    created: int
    currency: str | None = None
    default_source: None = None
    delinquent: bool = False
    description: str | None = None
    discount: None = None
    email: str | None
    invoice_prefix: str
    invoice_settings: Raw = Raw(
        b'{"custom_fields":null,"default_payment_method":null,"footer":null,"rendering_options":null}'
    )
    livemode: bool = False
    metadata: Raw = Raw(b"{}")
    name: str | None
    next_invoice_sequence: int = 1
    phone: None = None
    preferred_locales: tuple[str, ...] = ()
    shipping: None = None
    tax_exempt: str = "none"
    test_clock: None = None


class Customers:
    """Customers by number, the latest created last."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._first_created = 0
        self._all: list[Customer] = []
        self._by_id: dict[str, int] = {}
        self._deleted: set[str] = set()

    def __iter__(self) -> Iterator[Customer]:
        return (customer for customer in self._all if customer.id not in self._deleted)

    def have(self, count: int) -> None:
        """Have so many that were ever created: the new ones after all others, the surplus never heard of."""
        if not self._all:
            self._first_created = int(time()) - count * _APART_S
        for customer in self._all[count:]:
            del self._by_id[customer.id]
        del self._all[count:]
        for number in range(len(self._all), count):
            self._all.append(self._made(number))
            self._by_id[self._all[-1].id] = number

    def change(self, ref: str, **fields: Any) -> None:
        """Change fields of a customer."""
        for name, value in fields.items():
            setattr(self._all[self._by_id[ref]], name, value)

    def delete(self, *refs: str) -> None:
        """Delete customers: they are in no list any more, and can still be retrieved."""
        self._deleted.update(refs)

    def one(self, ref: str) -> bytes | None:
        """Give the JSON of a customer, of a deleted one no more than that; None: never heard of."""
        number = self._by_id.get(ref)
        if number is None:
            return None
        if ref in self._deleted:
            return encode({"id": ref, "object": "customer", "deleted": True})
        return encode(self._all[number])

    def listed(self, ref: str) -> bool:
        """Tell whether a list may begin after this customer."""
        return ref in self._by_id and ref not in self._deleted

    def page(self, limit: int, after: str | None, created_from: int, created_to: int) -> tuple[list[Customer], bool]:
        """Give the next customers, the latest first, and whether there are more."""
        first = bisect_left(self._all, created_from, key=_created)
        end = bisect_right(self._all, created_to, key=_created)
        if after is not None:
            end = min(end, self._by_id[after])
        found: list[Customer] = []
        for number in range(end - 1, first - 1, -1):
            if self._all[number].id not in self._deleted:
                if len(found) == limit:
                    return found, True
                found.append(self._all[number])
        return found, False

    def _made(self, number: int) -> Customer:
        token = f"{fate(self._seed, f'customer {number}').number:016x}"
        return Customer(
            id=f"cus_{token[:14]}",
            created=self._first_created + number * _APART_S,
            email=f"customer{number}@example.com" if number % 50 else None,
            invoice_prefix=token[-8:].upper(),
            name=f"Customer {number}",
        )


def _created(customer: Customer) -> int:
    return customer.created
