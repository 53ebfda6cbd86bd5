"""The one global table of people. A person may belong to several tenants; membership lives in `tenants`."""

from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.hashers import check_password
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower, Now
from uuid6 import uuid7

from apps.accounts.contracts import is_storable


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> "User":
        address = (username or "").strip().lower()
        if not is_storable(address):
            raise self.model.DoesNotExist
        # Lower(), not iexact: only that finds the unique index.
        return self.alias(address=Lower("email")).get(address=address)


class User(AbstractBaseUser, PermissionsMixin):
    """A person, known by e-mail address (kept in lower case)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField(max_length=254)
    name = models.CharField(max_length=120)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False, help_text="May open the administration.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["name"]

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="accounts_user_email_unique")]

    def __str__(self) -> str:
        return self.email

    def check_password(self, raw_password: str | None) -> bool:
        """Whether it is theirs. An operator's hash stays as it is: only the administration may write it."""
        if self.is_staff:
            return check_password(raw_password, self.password)
        return super().check_password(raw_password)

    def get_full_name(self) -> str:
        return self.name

    def get_short_name(self) -> str:
        return self.name.split(" ")[0]


class FailureNote(models.Model):
    """When failures of one kind were last told in the audit log, and how many came since: a flood is told in sums."""

    key = models.CharField(primary_key=True, max_length=120)
    told_at = models.DateTimeField(db_default=Now())
    untold = models.IntegerField(default=0)

    def __str__(self) -> str:
        return self.key


class FailedTries(models.Model):
    """How often in a row somebody failed to prove themself, and since when to wait.

    `subject` is a keyed digest: of an address, whether anybody has it or not, of a device, or of a person.
    """

    subject = models.BinaryField(primary_key=True, max_length=32)
    failures = models.IntegerField()
    last_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["last_at"], name="accounts_failedtries_sweep")]

    def __str__(self) -> str:
        return f"{self.failures} since {self.last_at}"


class SpentProof(models.Model):
    """A solved puzzle that was used: none is good for a second try."""

    digest = models.BinaryField(primary_key=True, max_length=32)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"until {self.expires_at}"


class RateUse(models.Model):
    """When something whose rate is limited was used of late. `subject` is a digest of what, and by whom."""

    subject = models.BinaryField(primary_key=True, max_length=32)
    uses = ArrayField(models.DateTimeField())
    ends_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{len(self.uses)} until {self.ends_at}"


class PendingNote(models.Model):
    """What happened to a person's ways of signing in and is still to be written into the audit log of their tenants.

    Written with the change itself; deleted when it has been told.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    person = models.UUIDField()
    actor = models.CharField(max_length=254)
    only_tenant = models.UUIDField(null=True, help_text="The one tenant to tell; all of the person's without it.")
    action = models.CharField(max_length=80)
    data = models.JSONField(default=dict)
    address = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=64, blank=True)
    noted_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["noted_at"], name="accounts_pendingnote_sweep")]

    def __str__(self) -> str:
        return self.action
