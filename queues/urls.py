"""What the provider posts to. These addresses are fixed."""

from django.urls import path

from queues import api, webhooks

urlpatterns = [
    path("calls/inbound", webhooks.inbound),
    path("calls/menu", webhooks.menu),
    path("calls/dial-result", webhooks.dial_result),
    path("calls/queue-events", webhooks.queue_events),
    path("calls/agent-join", webhooks.agent_join),
    path("calls/agent-status", webhooks.agent_status),
    path("calls/outbound-answer", webhooks.outbound_answer),
    path("calls/outbound-status", webhooks.outbound_status),
    path("calls/events", webhooks.events),
    path("calls/connect-agent", api.ConnectAgent.as_view()),
    path("hold-music", webhooks.hold_music),
]
