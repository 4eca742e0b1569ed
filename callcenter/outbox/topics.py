"""What can be told: the topics of docs/webhooks.md."""

TOPICS = {
    "call.arrived": "an inbound call has reached us",
    "call.dialling": "an outbound call was asked for; the contact's phone is being rung",
    "call.queued": "the call is in line; also when it is back in line after a failed offer",
    "call.offered": "one agent's phone is being rung for the call",
    "call.offer_failed": "that agent did not take the call",
    "call.answered": "customer and agent talk",
    "call.ended": "the call has come to its end",
    "call.wrapped_up": "the agent's wrap-up is over; also when its disposition is written later",
    "call.corrected": "the provider's record has corrected an end that was told before",
    "alert.raised": "a supervisor should know something, and a rule says to tell it here too",
    "agent.presence": "an agent became available, went on break or offline",
}
PING = "ping"  # a test that an administrator sends; no topic to choose
