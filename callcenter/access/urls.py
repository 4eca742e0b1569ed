"""Signing in and out, the password, the second factor."""

from django.contrib.auth import views as auth
from django.urls import path

from callcenter.access import sign_in, views

urlpatterns = [
    path("login/", sign_in.SignIn.as_view(), name="login"),
    path("login/code/", sign_in.code, name="sign-in-code"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("password/", sign_in.ChangePassword.as_view(), name="password_change"),
    path("password/done/", auth.PasswordChangeDoneView.as_view(), name="password_change_done"),
    path("second-factor/", views.overview, name="second-factor"),
    path("second-factor/begin/", views.begin, name="second-factor-begin"),
    path("second-factor/confirm/", views.confirm, name="second-factor-confirm"),
    path("second-factor/codes/", views.codes, name="second-factor-codes"),
    path("second-factor/remove/", views.remove, name="second-factor-remove"),
    path("admin/login/", sign_in.admin_door),
]
