"""The doors of `tenants`; signing in and tokens are here because they need to know a tenant."""

from django.urls import URLPattern, path

from apps.tenants.edge import (
    audit_views,
    company_sign_in,
    directory_pages,
    identity_provider_views,
    member_pages,
    members,
    oauth_server,
    rest,
    team_pages,
    token_views,
    workspace,
)
from apps.tenants.edge import pages as views
from apps.tenants.edge import scim as scim_views

pages: list[URLPattern] = [
    path("login/", views.sign_in, name="login"),
    path("login/puzzle/", views.sign_in_puzzle, name="sign_in_puzzle"),
    path("signup/", views.sign_up, name="signup"),
    path("settings/workspace/audit/", audit_views.audit_page, name="audit"),
    path("settings/workspace/audit/export/", audit_views.audit_export, name="audit_export"),
    path("sso/", company_sign_in.choose, name="company_choose"),
    path("sso/<slug:slug>/", company_sign_in.begin, name="company_sign_in"),
    path("sso/<slug:slug>/callback/", company_sign_in.callback, name="company_callback"),
    path("settings/company-sign-in/", company_sign_in.connections, name="company_connections"),
    path("settings/company-sign-in/<uuid:provider_id>/connect/", company_sign_in.connect, name="company_connect"),
    path(
        "settings/company-sign-in/<uuid:provider_id>/disconnect/",
        company_sign_in.disconnect,
        name="company_disconnect",
    ),
    path("settings/workspace/sign-in/", identity_provider_views.providers_page, name="identity_providers"),
    path(
        "settings/workspace/sign-in/<uuid:provider_id>/",
        identity_provider_views.provider_page,
        name="identity_provider",
    ),
    path(
        "settings/workspace/sign-in/<uuid:provider_id>/remove/",
        identity_provider_views.remove_provider,
        name="remove_identity_provider",
    ),
    path("settings/workspace/", member_pages.members, name="members"),
    path("settings/workspace/members/<uuid:membership_id>/role/", member_pages.change_role, name="member_role"),
    path("settings/workspace/members/<uuid:membership_id>/suspend/", member_pages.suspend, name="member_suspend"),
    path(
        "settings/workspace/members/<uuid:membership_id>/reactivate/",
        member_pages.reactivate,
        name="member_reactivate",
    ),
    path("settings/workspace/invitations/<uuid:invitation_id>/renew/", member_pages.renew, name="invitation_renew"),
    path(
        "settings/workspace/invitations/<uuid:invitation_id>/withdraw/",
        member_pages.withdraw,
        name="invitation_withdraw",
    ),
    path("settings/workspace/general/", workspace.workspace, name="workspace"),
    path("settings/workspace/change/", workspace.change_workspace, name="workspace_change"),
    path("settings/workspace/transfer/", workspace.transfer, name="workspace_transfer"),
    path("settings/workspace/leave/", workspace.leave, name="workspace_leave"),
    path("settings/workspace/switch/", workspace.switch, name="workspace_switch"),
    path("settings/workspace/teams/", team_pages.teams_page, name="teams"),
    path("settings/workspace/teams/<uuid:team_id>/rename/", team_pages.rename_team, name="team_rename"),
    path("settings/workspace/teams/<uuid:team_id>/delete/", team_pages.delete_team, name="team_delete"),
    path("settings/workspace/teams/<uuid:team_id>/members/", team_pages.add_to_team, name="team_member_add"),
    path(
        "settings/workspace/teams/<uuid:team_id>/members/<uuid:membership_id>/remove/",
        team_pages.remove_from_team,
        name="team_member_remove",
    ),
    path("settings/workspace/rules/", team_pages.rules_page, name="rules"),
    path("settings/workspace/rules/remove/", team_pages.remove_rule, name="rule_remove"),
    path("invitation/<str:secret>/", workspace.invitation, name="invitation"),
    path("invitation/<str:secret>/accept/", workspace.accept, name="invitation_accept"),
    path("settings/workspace/directory/", directory_pages.directory, name="directory"),
    path(
        "settings/workspace/directory/<uuid:key_id>/revoke/",
        directory_pages.revoke_directory_key,
        name="revoke_directory_key",
    ),
    path("join/", directory_pages.waiting, name="joining"),
    path("join/<uuid:tenant_id>/", directory_pages.join, name="join"),
    path("settings/keys/", views.api_keys, name="api_keys"),
    path("settings/keys/<uuid:key_id>/revoke/", views.revoke_api_key, name="revoke_api_key"),
]

api: list[URLPattern] = [
    path("accounts/token/", token_views.TokenView.as_view()),
    path("accounts/token/refresh/", token_views.TokenRefreshView.as_view()),
    path("accounts/token/revoke/", token_views.TokenRevokeView.as_view()),
    path("accounts/tokens/", token_views.TokensView.as_view()),
    path("accounts/tokens/<uuid:family>/", token_views.TokenFamilyView.as_view()),
    path("accounts/me/", rest.MeView.as_view()),
    path("tenant/", members.TenantView.as_view()),
    path("members/", members.MembersView.as_view()),
    path("members/leave/", members.LeaveView.as_view()),
    path("members/<uuid:membership_id>/", members.MemberView.as_view()),
    path("members/<uuid:membership_id>/transfer/", members.TransferView.as_view()),
    path("invitations/", members.InvitationsView.as_view()),
    path("invitations/<uuid:invitation_id>/", members.InvitationView.as_view()),
    path("invitations/<uuid:invitation_id>/renew/", members.InvitationRenewView.as_view()),
    path("teams/", members.TeamsView.as_view()),
    path("teams/<uuid:team_id>/", members.TeamView.as_view()),
    path("teams/<uuid:team_id>/members/<uuid:membership_id>/", members.TeamMemberView.as_view()),
    path("model-rules/", members.ModelRulesView.as_view()),
    path("model-rules/<str:tier>/", members.ModelRuleView.as_view()),
    path("audit/", audit_views.AuditView.as_view()),
    path("audit/export/", audit_views.AuditExportView.as_view()),
    path("identity-providers/", identity_provider_views.IdentityProvidersView.as_view()),
    path("identity-providers/<uuid:provider_id>/", identity_provider_views.IdentityProviderView.as_view()),
    path("api-keys/", rest.ApiKeysView.as_view()),
    path("api-keys/revoke-all/", rest.ApiKeysRevokeAllView.as_view()),
    path("api-keys/<uuid:key_id>/", rest.ApiKeyView.as_view()),
]

# Without a slash at the end, as RFC 7644 writes them.
scim: list[URLPattern] = [
    path("Users", scim_views.users),
    path("Users/.search", scim_views.search, {"kind": "Users"}),
    path("Users/<str:resource_id>", scim_views.user),
    path("Groups", scim_views.groups),
    path("Groups/.search", scim_views.search, {"kind": "Groups"}),
    path("Groups/<str:resource_id>", scim_views.group),
    path("ServiceProviderConfig", scim_views.service_provider_config),
    path("ResourceTypes", scim_views.resource_types),
    path("ResourceTypes/<str:name>", scim_views.resource_types),
    path("Schemas", scim_views.schemas),
    path("Schemas/<str:name>", scim_views.schemas),
    path("Bulk", scim_views.not_implemented),
    path("Me", scim_views.not_implemented),
    path(".search", scim_views.not_implemented),
]

# Named as allauth's own views name each other.
oauth = [
    path(".well-known/openid-configuration", oauth_server.configuration, name="configuration"),
    path(".well-known/jwks.json", oauth_server.JwksView.as_view(), name="jwks"),
    path("identity/o/authorize", oauth_server.AuthorizationView.as_view(), name="authorization"),
    path("identity/o/api/token", oauth_server.TokenView.as_view(), name="token"),
    path("identity/o/api/revoke", oauth_server.RevokeView.as_view(), name="revoke"),
    path("identity/o/api/userinfo", oauth_server.UserInfoView.as_view(), name="userinfo"),
]
