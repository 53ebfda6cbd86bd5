"""REST: members, invitations, teams, rules for model tiers, and the workspace itself."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.problems import Invalid
from apps.tenants import instructions, membership, teams
from apps.tenants.contracts import LONGEST_FIRST_TOKEN_MS, NewInvitation
from apps.tenants.edge.fields import Dollars, Text, Truth, Whole
from apps.tenants.edge.invitations import invitation_address, send
from apps.tenants.edge.rest import principal_of
from apps.tenants.policy import Action, Role

_ROLES = [role.value for role in Role]
_NO_STORE = {"Cache-Control": "no-store"}


class MemberSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(help_text="The membership's.")
    user_id = serializers.UUIDField()
    name = serializers.CharField()
    email = serializers.EmailField()
    role = serializers.ChoiceField(choices=_ROLES)
    joined_at = serializers.DateTimeField()
    suspended_at = serializers.DateTimeField(allow_null=True)
    is_you = serializers.BooleanField()


class MembersView(APIView):
    """Everybody who belongs to the workspace."""

    actions = {"GET": Action.MEMBERS_READ}

    @extend_schema(responses=MemberSerializer(many=True), operation_id="members_list")
    def get(self, request: Request) -> Response:
        return Response(MemberSerializer(membership.members(principal_of(request)), many=True).data)


class MemberView(APIView):
    """One member: change the role, suspend, let in again."""

    actions = {"PATCH": Action.MEMBERS_MANAGE, "DELETE": Action.MEMBERS_MANAGE}

    @extend_schema_serializer(component_name="MemberChange")
    class Input(serializers.Serializer[Any]):
        role = serializers.ChoiceField(choices=_ROLES, required=False)
        suspended = Truth(required=False)

    @extend_schema(request=Input, responses={204: None}, operation_id="members_change")
    def patch(self, request: Request, membership_id: UUID) -> Response:
        given = self.Input(data=request.data)
        given.is_valid(raise_exception=True)
        principal, wanted = principal_of(request), given.validated_data
        if not wanted:
            raise Invalid("Nothing is to be changed: name `role`, `suspended` or both.")
        if "role" in wanted:
            membership.change_role(principal, membership_id, wanted["role"])
        if "suspended" in wanted:
            change = membership.suspend if wanted["suspended"] else membership.reactivate
            change(principal, membership_id)
        return Response(status=204)

    @extend_schema(responses={204: None}, operation_id="members_suspend")
    def delete(self, request: Request, membership_id: UUID) -> Response:
        membership.suspend(principal_of(request), membership_id)
        return Response(status=204)


class LeaveView(APIView):
    """Leave the workspace oneself. Keys, sign-ins and running answers end; what one wrote stays."""

    actions = {"POST": Action.SELF}

    @extend_schema_serializer(component_name="Leave")
    class Input(serializers.Serializer[Any]):
        confirmation = Text(max_length=200, help_text="The workspace's name, typed again.")

    @extend_schema(request=Input, responses={204: None}, operation_id="members_leave")
    def post(self, request: Request) -> Response:
        given = self.Input(data=request.data)
        given.is_valid(raise_exception=True)
        membership.leave(principal_of(request), given.validated_data["confirmation"])
        request._request.session.flush()  # else its end would be saved over
        return Response(status=204)


class TransferView(APIView):
    """Hand the workspace over to another member."""

    actions = {"POST": Action.TENANT_TRANSFER}

    @extend_schema_serializer(component_name="Transfer")
    class Input(serializers.Serializer[Any]):
        confirmation = Text(max_length=200, help_text="The workspace's name, typed again.")

    @extend_schema(request=Input, responses={204: None}, operation_id="members_transfer")
    def post(self, request: Request, membership_id: UUID) -> Response:
        given = self.Input(data=request.data)
        given.is_valid(raise_exception=True)
        membership.transfer(principal_of(request), membership_id, given.validated_data["confirmation"])
        return Response(status=204)


class InvitationSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    email = serializers.EmailField()
    role = serializers.ChoiceField(choices=_ROLES)
    invited_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()


class NewInvitationSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    email = serializers.EmailField()
    role = serializers.ChoiceField(choices=_ROLES)
    expires_at = serializers.DateTimeField()
    url = serializers.URLField(help_text="Shown this once.")
    mailed = serializers.BooleanField(help_text="Whether it was sent by e-mail, too.")


def _told(request: Request, made: NewInvitation) -> Response:
    mailed = send(made, principal_of(request))
    body = {
        "id": made.id,
        "email": made.email,
        "role": made.role,
        "expires_at": made.expires_at,
        "url": invitation_address(made),
        "mailed": mailed,
    }
    return Response(NewInvitationSerializer(body).data, status=201, headers=_NO_STORE)


class InvitationsView(APIView):
    """Open invitations; make one."""

    actions = {"GET": Action.MEMBERS_MANAGE, "POST": Action.MEMBERS_MANAGE}

    @extend_schema_serializer(component_name="InvitationInput")
    class Input(serializers.Serializer[Any]):
        email = serializers.EmailField(max_length=254)
        role = serializers.ChoiceField(choices=_ROLES, default=Role.MEMBER.value)

    @extend_schema(responses=InvitationSerializer(many=True), operation_id="invitations_list")
    def get(self, request: Request) -> Response:
        return Response(InvitationSerializer(membership.invitations(principal_of(request)), many=True).data)

    @extend_schema(request=Input, responses={201: NewInvitationSerializer}, operation_id="invitations_create")
    def post(self, request: Request) -> Response:
        given = self.Input(data=request.data)
        given.is_valid(raise_exception=True)
        wanted = given.validated_data
        return _told(request, membership.invite(principal_of(request), wanted["email"], wanted["role"]))


class InvitationView(APIView):
    """Withdraw an invitation."""

    actions = {"DELETE": Action.MEMBERS_MANAGE}

    @extend_schema(responses={204: None}, operation_id="invitations_withdraw")
    def delete(self, request: Request, invitation_id: UUID) -> Response:
        membership.withdraw_invitation(principal_of(request), invitation_id)
        return Response(status=204)


class InvitationRenewView(APIView):
    """A new link and another week; the old link is dead."""

    actions = {"POST": Action.MEMBERS_MANAGE}

    @extend_schema(request=None, responses={201: NewInvitationSerializer}, operation_id="invitations_renew")
    def post(self, request: Request, invitation_id: UUID) -> Response:
        return _told(request, membership.renew_invitation(principal_of(request), invitation_id))


class TeamSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    provisioned = serializers.BooleanField()
    members = serializers.ListField(child=serializers.UUIDField(), help_text="Membership ids.")


class TeamInput(serializers.Serializer[Any]):
    name = Text(max_length=teams.MAX_NAME)


class TeamMade(serializers.Serializer[Any]):
    id = serializers.UUIDField()


class TeamsView(APIView):
    """The workspace's teams; open one."""

    actions = {"GET": Action.TEAMS_READ, "POST": Action.TEAMS_MANAGE}

    @extend_schema(responses=TeamSerializer(many=True), operation_id="teams_list")
    def get(self, request: Request) -> Response:
        return Response(TeamSerializer(teams.teams(principal_of(request)), many=True).data)

    @extend_schema(request=TeamInput, responses={201: TeamMade}, operation_id="teams_create")
    def post(self, request: Request) -> Response:
        given = TeamInput(data=request.data)
        given.is_valid(raise_exception=True)
        team_id = teams.create_team(principal_of(request), given.validated_data["name"])
        return Response(TeamMade({"id": team_id}).data, status=201)


class TeamView(APIView):
    """One team."""

    actions = {"PATCH": Action.TEAMS_MANAGE, "DELETE": Action.TEAMS_MANAGE}

    @extend_schema(request=TeamInput, responses={204: None}, operation_id="teams_rename")
    def patch(self, request: Request, team_id: UUID) -> Response:
        given = TeamInput(data=request.data)
        given.is_valid(raise_exception=True)
        teams.rename_team(principal_of(request), team_id, given.validated_data["name"])
        return Response(status=204)

    @extend_schema(responses={204: None}, operation_id="teams_delete")
    def delete(self, request: Request, team_id: UUID) -> Response:
        teams.delete_team(principal_of(request), team_id)
        return Response(status=204)


class TeamMemberView(APIView):
    """A member's place in a team."""

    actions = {"PUT": Action.TEAMS_MANAGE, "DELETE": Action.TEAMS_MANAGE}

    @extend_schema(request=None, responses={204: None}, operation_id="teams_member_add")
    def put(self, request: Request, team_id: UUID, membership_id: UUID) -> Response:
        teams.add_member(principal_of(request), team_id, membership_id)
        return Response(status=204)

    @extend_schema(responses={204: None}, operation_id="teams_member_remove")
    def delete(self, request: Request, team_id: UUID, membership_id: UUID) -> Response:
        teams.remove_member(principal_of(request), team_id, membership_id)
        return Response(status=204)


class ModelRuleSerializer(serializers.Serializer[Any]):
    tier = serializers.CharField()
    roles = serializers.ListField(child=serializers.ChoiceField(choices=_ROLES))
    teams = serializers.ListField(child=serializers.UUIDField())


class ModelRulesView(APIView):
    """Which tiers of models are open to whom. A tier without a rule is open to all who may ask."""

    actions = {"GET": Action.RULES_READ}

    @extend_schema(responses=ModelRuleSerializer(many=True), operation_id="model_rules_list")
    def get(self, request: Request) -> Response:
        return Response(ModelRuleSerializer(teams.model_rules(principal_of(request)), many=True).data)


class ModelRuleView(APIView):
    """The rule of one tier."""

    actions = {"PUT": Action.RULES_MANAGE, "DELETE": Action.RULES_MANAGE}

    @extend_schema_serializer(component_name="ModelRuleInput")
    class Input(serializers.Serializer[Any]):
        roles = serializers.ListField(child=serializers.ChoiceField(choices=_ROLES), max_length=len(_ROLES))
        teams = serializers.ListField(child=serializers.UUIDField(), max_length=teams.MAX_TEAMS, default=list)

    @extend_schema(request=Input, responses={204: None}, operation_id="model_rules_set")
    def put(self, request: Request, tier: str) -> Response:
        given = self.Input(data=request.data)
        given.is_valid(raise_exception=True)
        wanted = given.validated_data
        teams.set_model_rule(principal_of(request), tier, wanted["roles"], wanted["teams"])
        return Response(status=204)

    @extend_schema(responses={204: None}, operation_id="model_rules_remove")
    def delete(self, request: Request, tier: str) -> Response:
        teams.remove_model_rule(principal_of(request), tier)
        return Response(status=204)


class TenantSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    slug = serializers.CharField()
    plan = serializers.CharField()
    requires_second_factor = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    max_output_tokens = serializers.IntegerField(allow_null=True, help_text="No answer has more tokens than this.")
    max_cost_usd = Dollars(
        source="max_cost_nanousd", allow_null=True, help_text="Models whose answer is likely to cost more are left out."
    )
    max_first_token_ms = serializers.IntegerField(
        allow_null=True, help_text="A policy's models measured slower than this come last."
    )
    instructions = serializers.CharField(help_text="What every model is told before each question.")
    summaries = serializers.BooleanField(help_text="Whether what no longer fits a model is summarised for it.")


class TenantView(APIView):
    """The workspace itself."""

    actions = {"GET": Action.TENANT_READ, "PATCH": Action.TENANT_CHANGE}

    @extend_schema_serializer(component_name="TenantChange")
    class Input(serializers.Serializer[Any]):
        name = Text(max_length=teams.MAX_NAME, required=False)
        requires_second_factor = Truth(required=False)
        max_output_tokens = Whole(
            required=False,
            allow_null=True,
            min_value=1,
            max_value=teams.MOST_OUTPUT_TOKENS,
            help_text="Null: no bound.",
        )
        max_cost_usd = Dollars(
            source="max_cost_nanousd", required=False, allow_null=True, help_text="Null: no ceiling."
        )
        max_first_token_ms = Whole(
            required=False,
            allow_null=True,
            min_value=1,
            max_value=LONGEST_FIRST_TOKEN_MS,
            help_text="Null: speed does not matter.",
        )
        instructions = Text(required=False, allow_blank=True, max_length=instructions.MAX_CHARACTERS)
        summaries = Truth(required=False)

    @extend_schema(responses=TenantSerializer, operation_id="tenant_read")
    def get(self, request: Request) -> Response:
        return Response(TenantSerializer(teams.tenant(principal_of(request))).data)

    @extend_schema(request=Input, responses=TenantSerializer, operation_id="tenant_change")
    def patch(self, request: Request) -> Response:
        given = self.Input(data=request.data)
        given.is_valid(raise_exception=True)
        if not given.validated_data:
            raise Invalid(f"Nothing is to be changed: name one or more of {', '.join(given.fields)}.")
        principal, wanted = principal_of(request), dict(given.validated_data)
        told = wanted.pop("instructions", None)
        wanted |= {name: wanted[name] or 0 for name in teams.MOST if name in wanted}
        if wanted:
            teams.change_tenant(principal, **wanted)
        if told is not None:
            instructions.set_workspace(principal, told)
        return Response(TenantSerializer(teams.tenant(principal)).data)
