"""The wallboard and the call log."""

from django.urls import path

from reporting import views, views_calls, views_recordings, views_room, views_wall

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
]
