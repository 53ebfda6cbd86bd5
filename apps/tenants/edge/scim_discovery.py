"""What this server says of itself to directories (RFC 7643, 5 to 7)."""

from typing import Any

from apps.tenants.edge.scim_answers import address
from apps.tenants.provisioned import MAX_PAGE
from apps.tenants.scim_schema import ENTERPRISE_USER, GROUPS, USERS, Schema

_CORE = "urn:ietf:params:scim:schemas:core:2.0"
SCHEMAS = {schema.urn: schema for kind in (USERS, GROUPS) for schema in (kind, *kind.extensions)}


def provider_config() -> dict[str, Any]:
    """What is supported. Nothing is promised here that is not done: no bulk, no ETags, no passwords."""
    return {
        "schemas": [f"{_CORE}:ServiceProviderConfig"],
        "documentationUri": "https://datatracker.ietf.org/doc/html/rfc7644",
        "patch": {"supported": True},
        "bulk": {"supported": False, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": True, "maxResults": MAX_PAGE},
        "changePassword": {"supported": False},
        "sort": {"supported": True},
        "etag": {"supported": False},
        "authenticationSchemes": [
            {
                "type": "oauthbearertoken",
                "name": "A key of the workspace",
                "description": "Authorization: Bearer, with the key that an administrator makes for the directory.",
                "specUri": "https://datatracker.ietf.org/doc/html/rfc6750",
                "primary": True,
            }
        ],
        "meta": {"resourceType": "ServiceProviderConfig", "location": address("ServiceProviderConfig")},
    }


def resource_type(schema: Schema) -> dict[str, Any]:
    """What lives under /Users or /Groups."""
    told: dict[str, Any] = {
        "schemas": [f"{_CORE}:ResourceType"],
        "id": schema.name,
        "name": schema.name,
        "endpoint": f"/{schema.name}s",
        "description": schema.description,
        "schema": schema.urn,
        "meta": {"resourceType": "ResourceType", "location": address("ResourceTypes", schema.name)},
    }
    if schema is USERS:
        told["schemaExtensions"] = [{"schema": ENTERPRISE_USER, "required": False}]
    return told


def schema_document(schema: Schema) -> dict[str, Any]:
    """A schema with its attributes."""
    return {
        "schemas": [f"{_CORE}:Schema"],
        "id": schema.urn,
        "name": schema.name,
        "description": schema.description,
        "attributes": [attribute.described() for attribute in schema.attributes],
        "meta": {"resourceType": "Schema", "location": address("Schemas", schema.urn)},
    }
