"""What jobs talk to the outside with: rate-aware HTTP, Stripe."""
