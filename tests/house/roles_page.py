"""docs/roles.md: the policy in words. `python -m tests.house.roles_page` writes it anew; a test keeps it current.

The page is read back, too, so that the doors are walked against what is promised and not against the code's own table.
"""

from pathlib import Path

from apps.tenants.policy import POLICY, Action, Role

PAGE = Path(__file__).resolve().parents[2] / "docs/roles.md"

ROLE_NAMES = {
    Role.OWNER: "Owner",
    Role.ADMIN: "Administrator",
    Role.BILLING_ADMIN: "Billing admin",
    Role.MEMBER: "Member",
    Role.VIEWER: "Viewer",
}
WORDS = {
    Action.SELF: "See who one is; tell models of oneself; keep one's own sessions, second factor and programs; leave",
    Action.CHAT_READ: "Read one's own chats, and what models saw of them",
    Action.CHAT_ASK: "Ask models; stop and repeat answers",
    Action.CHAT_KEEP: "Rename, instruct, delete and restore one's own chats",
    Action.MODELS_READ: "List the models that are open to one",
    Action.KEYS_READ: "List one's own API keys",
    Action.KEYS_MAKE: "Make an API key",
    Action.KEYS_REVOKE: "Revoke one's own API keys",
    Action.KEYS_OF_OTHERS: "List and revoke the keys of others",
    Action.TENANT_READ: "See the workspace's name and settings, and what it tells models",
    Action.TENANT_CHANGE: "Rename the workspace; instruct models; demand a second factor; read its whole catalogue",
    Action.TENANT_TRANSFER: "Hand the workspace over to another member",
    Action.MEMBERS_READ: "List members",
    Action.MEMBERS_MANAGE: "Invite people; change roles; suspend and let in again",
    Action.TEAMS_READ: "List teams",
    Action.TEAMS_MANAGE: "Make, rename and dissolve teams; put members in and out",
    Action.RULES_READ: "See which tiers of models are open to whom",
    Action.RULES_MANAGE: "Open and close tiers of models",
    Action.IDENTITY_MANAGE: "Set up the company's own sign-in",
    Action.PROVISION: "Keep members and groups by a directory (SCIM)",
    Action.SAFETY_MANAGE: "Set what prompts and answers are screened for; see what was found",
    Action.AUDIT_READ: "Read and export the audit log",
    Action.USAGE_READ: "See what everybody uses and costs",
    Action.QUOTA_MANAGE: "Set quotas and limits",
}

_BEFORE = """# Roles

Every member of a workspace has one role in it. This table is all there is: each route, each method and each message of
a socket names its action, and is refused with 403 where the role does not have it. A door that names none is closed.
The table is made from `apps/tenants/policy.py`, and a test walks every door as every role against this page.
"""

_AFTER = """
Beyond the table:

- Nobody gives a role above their own, and nobody changes somebody above themself. An administrator can neither make an
  owner nor touch one.
- Nobody changes their own role. Everybody may leave, by typing the workspace's name; the last owner can neither leave
  nor be suspended or demoted.
- An API key and a program's sign-in speak for their person: they may what the person's role may at that moment, or
  less. They make no further keys.
- A key restricted to scopes opens those doors alone: `chat` is `/v1/` and the socket, `manage` is `/api/`, `scim` is
  `/scim/`.
- Rules can open the models of a tier to some roles and teams only. A tier without a rule is open to all who may ask.
  Processes obey a change within five seconds.
- Ids of another workspace are answered with 404, as if there were no such thing.
- Operators of the platform stand outside of the table. They use the administration, behind a second factor, and what
  they change is in the audit log.
"""


def page() -> str:
    """The whole page."""
    heads = ["Action", "", *(ROLE_NAMES[role] for role in Role)]
    rows = [
        [f"`{action}`", WORDS[action], *("yes" if role in POLICY[action] else "–" for role in Role)]
        for action in Action
    ]
    lines = [heads, ["---", "---", *(":---:" for _ in Role)], *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{_BEFORE}\n{table}\n{_AFTER}"


def promised() -> dict[tuple[str, str], bool]:
    """What the page promises: (role, action) -> whether it is allowed."""
    found = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 2 + len(Role) and cells[0].startswith("`"):
            for role, cell in zip(Role, cells[2:], strict=True):
                found[role.value, cells[0].strip("`")] = cell == "yes"
    return found


if __name__ == "__main__":
    PAGE.write_text(page())
