"""Signing in and signing up, as forms."""

from django import forms

from apps.accounts.contracts import MAX_PASSWORD


class SignInForm(forms.Form):
    email = forms.EmailField(label="Email", max_length=254)
    password = forms.CharField(label="Password", max_length=MAX_PASSWORD, strip=False, widget=forms.PasswordInput)


class SignUpForm(forms.Form):
    """An account and its workspace; without a name for the workspace it is called after the person."""

    name = forms.CharField(label="Your name", max_length=120)
    email = forms.EmailField(label="Email", max_length=254)
    password = forms.CharField(label="Password", max_length=MAX_PASSWORD, strip=False, widget=forms.PasswordInput)
    tenant_name = forms.CharField(label="Workspace", max_length=120, required=False)
