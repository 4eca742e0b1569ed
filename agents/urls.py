"""The agent's page."""

from django.urls import path

from agents import views

urlpatterns = [
    path("", views.desk, name="desk"),
    path("state/", views.state, name="desk-state"),
    path("presence/", views.set_presence, name="desk-presence"),
    path("done/", views.done, name="desk-done"),
    path("hang-up/", views.hang_up, name="desk-hang-up"),
]
