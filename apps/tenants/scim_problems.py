"""What can be wrong with a directory's request, by the words of RFC 7644 (3.12).

Problem
└── ScimProblem
    ├── InvalidFilter    the filter cannot be read, or compares what cannot be compared
    ├── InvalidPath      a path names nothing that these resources have
    ├── InvalidSyntax    the body is not what the operation takes
    ├── InvalidValue     a value is missing or not of its attribute's kind
    ├── NoTarget         a change that hits nothing
    ├── Immutable        an attribute, or a member, that a directory may not change
    └── Taken            a name that another resource has
"""

from typing import ClassVar

from apps.problems import Problem


class ScimProblem(Problem):
    """`scim_type` is the word that directories read; empty where RFC 7644 has none."""

    scim_type: ClassVar[str] = ""


class InvalidFilter(ScimProblem):
    code = "scim_invalid_filter"
    scim_type = "invalidFilter"


class InvalidPath(ScimProblem):
    code = "scim_invalid_path"
    scim_type = "invalidPath"


class InvalidSyntax(ScimProblem):
    code = "scim_invalid_syntax"
    scim_type = "invalidSyntax"


class InvalidValue(ScimProblem):
    code = "scim_invalid_value"
    scim_type = "invalidValue"


class NoTarget(ScimProblem):
    code = "scim_no_target"
    scim_type = "noTarget"


class Immutable(ScimProblem):
    code = "scim_mutability"
    scim_type = "mutability"


class Taken(ScimProblem):
    code = "scim_uniqueness"
    scim_type = "uniqueness"
    status = 409
