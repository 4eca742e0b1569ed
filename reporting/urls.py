"""The wallboard and the call log."""

from django.urls import path

from reporting import views

urlpatterns = [
    path("", views.home, name="home"),
    path("board/", views.board, name="board"),
    path("alerts/<int:pk>/dismiss/", views.dismiss_alert, name="alert-dismiss"),
    path("calls-log/", views.call_log, name="call-log"),
    path("calls-log/<str:public_id>/", views.call_page, name="call-page"),
]
