"""Tenants, memberships, roles, API keys, and the scope in which a tenant's rows are visible."""
