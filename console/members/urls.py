"""URLs of accounts: sign-in, the own account, people."""

from django.urls import path

from console.members import views

urlpatterns = [
    path("sign-in/", views.SignInView.as_view(), name="sign-in"),
    path("sign-out/", views.sign_out, name="sign-out"),
    path("first/", views.choose_password, name="choose-password"),
    path("first/<str:token>/", views.first_sign_in, name="first-sign-in"),
    path("account/", views.account, name="account"),
    path("account/sign-out-everywhere/", views.sign_out_everywhere, name="sign-out-everywhere"),
    path("people/", views.people, name="people"),
    path("people/add/", views.add_member, name="add-member"),
    path("people/<int:member_id>/change/", views.change_member, name="change-member"),
]
