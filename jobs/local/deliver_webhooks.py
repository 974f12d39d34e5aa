"""Webhooks for deliver-webhooks: `records` of them in a queue, for five receivers; one in a thousand is no webhook."""
