"""What is set up for calls, and what is kept of them."""

from queues.admin import evidence, set_up

__all__ = ["evidence", "set_up"]
