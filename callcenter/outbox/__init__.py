"""Signed outgoing webhooks: what happened here, told to the shop's own systems, in order."""
