"""The tables of routing. A row without a tenant is everybody's; a row with one belongs to it alone."""

from apps.routing.models.caching import SCOPE_WORDS, CacheEvidence, CacheSettings, SemanticAnswer
from apps.routing.models.catalogue import Deployment, LanguageModel, Price, Provider, RoutingPolicy
from apps.routing.models.evidence import RoutingEvidence
from apps.routing.models.safety import SafetyRules, SafetyVerdict

__all__ = [
    "SCOPE_WORDS",
    "CacheEvidence",
    "CacheSettings",
    "Deployment",
    "LanguageModel",
    "Price",
    "Provider",
    "RoutingEvidence",
    "RoutingPolicy",
    "SafetyRules",
    "SafetyVerdict",
    "SemanticAnswer",
]
