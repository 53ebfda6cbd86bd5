"""Parts of the product that operators can switch off for single tenants, by a flag of the same name.

They are on unless a flag says otherwise, also where nobody has made the flag. The row is read each time: what is
switched off must not live on in a cache, and these doors are seldom passed.
"""

from enum import StrEnum
from uuid import UUID

from apps.tenants.errors import FeatureOff
from apps.tenants.models import Flag


class Feature(StrEnum):
    """The names of the flags."""

    COMPANY_SIGN_IN = "company-sign-in"
    DIRECTORY = "directory"


_NAMES = {Feature.COMPANY_SIGN_IN: "Company sign-in", Feature.DIRECTORY: "The directory"}


def is_on(feature: Feature, tenant_id: UUID) -> bool:
    """Whether a tenant has the feature."""
    flag = Flag.objects.filter(name=feature).first()
    return flag is None or flag.is_on_for(tenant_id)


def require(feature: Feature, tenant_id: UUID) -> None:
    """Raises `FeatureOff` where a tenant has not the feature."""
    if not is_on(feature, tenant_id):
        raise FeatureOff(f"{_NAMES[feature]} is switched off for this workspace. Ask whoever runs this installation.")
