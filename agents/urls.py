"""The agent's pages."""

from django.urls import path

from agents.views import calls, desk

urlpatterns = [
    path("", desk.desk, name="desk"),
    path("state/", desk.state, name="desk-state"),
    path("seen/", desk.seen, name="desk-seen"),
    path("presence/", desk.set_presence, name="desk-presence"),
    path("decline/", desk.decline, name="desk-decline"),
    path("hang-up/", desk.hang_up, name="desk-hang-up"),
    path("help/", desk.ask_for_help, name="desk-help"),
    path("notes/<uuid:offer>/", desk.write, name="desk-notes"),
    path("done/", desk.done, name="desk-done"),
    path("extend/", desk.extend, name="desk-extend"),
    path("notices/<int:pk>/read/", desk.read_notice, name="desk-notice"),
    path("call/", desk.call_somebody, name="desk-call"),
    path("sounds/", desk.set_sounds, name="desk-sounds"),
    path("calls/", calls.own_calls, name="desk-calls"),
    path("calls/<uuid:offer>/", calls.change, name="desk-call-change"),
]
