"""The wallboard and the call log."""

from django.urls import path

from reporting import views, views_calls, views_recordings, views_room, views_wall
from reporting.files import views_csv, views_exports, views_schedules
from reporting.pages import (
    agents,
    books,
    costs,
    definitions,
    hours,
    kept,
    planning,
    provider,
    service,
    today,
    waits,
)

urlpatterns = [
    path("", views.home, name="home"),
    path("board/", views.board, name="board"),
    path("alerts/<int:pk>/dismiss/", views.dismiss_alert, name="alert-dismiss"),
    path("room/calls/<str:public_id>/", views_room.call, name="room-call"),
    path("room/agents/<int:pk>/", views_room.agent, name="room-agent"),
    path("room/queues/<slug:slug>/", views_room.queue, name="room-queue"),
    path("room/message/", views_room.message, name="room-message"),
    path("wall-links/", views_wall.links, name="wall-links"),
    path("wall-links/<int:pk>/revoke/", views_wall.revoke, name="wall-link-revoke"),
    path("wall/<str:token>/", views_wall.wall, name="wall"),
    path("wall/<str:token>/now/", views_wall.now, name="wall-now"),
    path("events/wall/<str:token>/", views_wall.events, name="wall-events"),
    path("calls-log/", views_calls.call_log, name="call-log"),
    path("calls-log/<str:public_id>/", views_calls.call_page, name="call-page"),
    path(
        "calls-log/<str:public_id>/recordings/<uuid:pk>/",
        views_recordings.recording,
        name="recording",
    ),
    path("reports/", today.today, name="reports"),
    path("reports/service/", service.service, name="report-service"),
    path("reports/waits/", waits.waits, name="report-waits"),
    path("reports/hours/", hours.hours, name="report-hours"),
    path("reports/agents/", agents.agents, name="report-agents"),
    path("reports/costs/", costs.costs, name="report-costs"),
    path("reports/definitions/", definitions.definitions, name="report-definitions"),
    path("reports/books/", books.books, name="report-books"),
    path("reports/provider/", provider.page, name="report-provider"),
    path("reports/provider/back-fill/", provider.fill, name="report-back-fill"),
    path("reports/provider/back-fill/<int:pk>/stop/", provider.stop, name="report-back-fill-stop"),
    path(
        "reports/provider/differences/<int:pk>/settle/",
        provider.settle,
        name="report-difference-settle",
    ),
    path("reports/<slug:table>.csv", views_csv.table, name="report-csv"),
    path("reports/files/", views_exports.files, name="report-files"),
    path("reports/files/<uuid:pk>/", views_exports.download, name="report-file"),
    path("reports/schedules/", views_schedules.scheduled, name="report-schedules"),
    path(
        "reports/schedules/<int:pk>/send/",
        views_schedules.send_now,
        name="report-schedule-send",
    ),
    path("reports/planning/", planning.planning, name="report-planning"),
    path("reports/kept/", kept.page, name="report-kept"),
    path("reports/erasures/", kept.erasures, name="erasures"),
]
