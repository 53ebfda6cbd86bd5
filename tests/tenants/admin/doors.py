"""The product's doors, and allauth's own pages of second factors where the product has none of its own."""

from django.urls import include, path

from chatproject import urls as product

urlpatterns = [
    *product.urlpatterns,
    path("account/2fa/", include("allauth.mfa.urls")),
    path("account/", include("allauth.account.urls")),
]

handler400, handler403 = product.handler400, product.handler403
handler404, handler500 = product.handler404, product.handler500
