"""Signing in and signing up, as forms."""

from django import forms

from apps.accounts.contracts import MAX_PASSWORD
from apps.accounts.second_factor import MAX_CODE


class SignInForm(forms.Form):
    email = forms.EmailField(label="Email", max_length=254)
    password = forms.CharField(label="Password", max_length=MAX_PASSWORD, strip=False, widget=forms.PasswordInput)
    code = forms.CharField(
        label="Code of your second factor",
        max_length=MAX_CODE,
        required=False,
        help_text="If you have one: a code of your authenticator app, or a recovery code, opens the way at once.",
    )


class SignUpForm(forms.Form):
    """An account and its workspace; without a name for the workspace it is called after the person."""

    name = forms.CharField(label="Your name", max_length=120)
    email = forms.EmailField(label="Email", max_length=254)
    password = forms.CharField(label="Password", max_length=MAX_PASSWORD, strip=False, widget=forms.PasswordInput)
    tenant_name = forms.CharField(label="Workspace", max_length=120, required=False)
