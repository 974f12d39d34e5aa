"""Write the payment intents that the simulator answers with, as full as Stripe's, so that reading them costs what it does there."""

from msgspec import Raw, Struct
from msgspec.json import encode

from worker.local.fate import Fate

_CURRENCIES = ("eur", "usd", "gbp", "chf")
_FIRST_CREATED = 1_760_000_000
_CREATED_WITHIN_S = 30_000_000


class Intent(Struct, kw_only=True):
    """A PaymentIntent as Stripe's API reference lists it; what is the same for all of them is a default."""

    id: str
    object: str = "payment_intent"
    amount: int
    amount_capturable: int = 0
    amount_details: Raw = Raw(b'{"tip":{}}')
    amount_received: int = 0
    application: None = None
    application_fee_amount: None = None
    automatic_payment_methods: Raw = Raw(b'{"allow_redirects":"always","enabled":true}')
    canceled_at: int | None = None
    cancellation_reason: str | None = None
    capture_method: str = "automatic_async"
    client_secret: str
    confirmation_method: str = "automatic"
    created: int
    currency: str
    customer: str
    description: str
    last_payment_error: Raw | None = None
    latest_charge: str | None = None
    livemode: bool = False
    metadata: Raw
    next_action: Raw | None = None
    on_behalf_of: None = None
    payment_method: str | None
    payment_method_configuration_details: None = None
    payment_method_options: Raw = Raw(
        b'{"card":{"installments":null,"mandate_options":null,"network":null,"request_three_d_secure":"automatic"}}'
    )
    payment_method_types: tuple[str, ...] = ("card", "sepa_debit")
    processing: Raw | None = None
    receipt_email: None = None
    review: None = None
    setup_future_usage: None = None
    shipping: None = None
    source: None = None
    statement_descriptor: None = None
    statement_descriptor_suffix: None = None
    status: str
    transfer_data: None = None
    transfer_group: None = None


def intent(ref: str, status: str, number: int) -> Intent:
    """Make the payment intent with this reference and status; the number decides the rest."""
    token = f"{number:016x}"
    made = Intent(
        id=ref,
        amount=100 + number % 50_000,
        client_secret=f"{ref}_secret_{token}",
        created=_FIRST_CREATED + number % _CREATED_WITHIN_S,
        currency=_CURRENCIES[number % len(_CURRENCIES)],
        customer=f"cus_{token[:14]}",
        description=f"Order {number % 1_000_000}",
        metadata=Raw(b'{"order_id":"%d"}' % (number % 1_000_000)),
        payment_method=None if status == "requires_payment_method" else f"pm_{token}",
        status=status,
    )
    _finish(made, token)
    return made


def body(ref: str, known: Fate) -> bytes:
    """Give the JSON of a payment intent that exists."""
    assert known.status is not None
    return encode(intent(ref, known.status, known.number))


def _finish(made: Intent, token: str) -> None:
    """Fill in what hangs on the status."""
    if made.status == "succeeded":
        made.amount_received = made.amount
        made.latest_charge = f"py_{token}"
    elif made.status == "requires_capture":
        made.amount_capturable = made.amount
        made.capture_method = "manual"
        made.latest_charge = f"ch_{token}"
    elif made.status == "canceled":
        made.canceled_at = made.created + 3_600
        made.cancellation_reason = "abandoned"
    elif made.status == "requires_action":
        made.next_action = Raw(b'{"type":"use_stripe_sdk","use_stripe_sdk":{"type":"three_d_secure_redirect"}}')
    elif made.status == "requires_payment_method":
        made.last_payment_error = Raw(
            b'{"code":"card_declined","decline_code":"generic_decline","message":"Your card was declined.","type":"card_error"}'
        )
