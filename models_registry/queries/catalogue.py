"""Reading what is on offer."""

from django.db.models import Q, QuerySet

from core.errors import NotFound
from models_registry.models import FoundationModel, ServingProfile


def list_foundation_models() -> QuerySet[FoundationModel]:
    """The base models on offer, with their serving profiles."""
    return FoundationModel.objects.prefetch_related("serving_profiles")


def get_foundation_model(ref: str) -> FoundationModel:
    """By public id or name (then the newest revision of it). Raises NotFound."""
    model = FoundationModel.objects.filter(Q(public_id=ref) | Q(name=ref)).order_by("-pk").first()
    if model is None:
        known = ", ".join(FoundationModel.objects.values_list("name", flat=True)[:20])
        raise NotFound(f"There is no base model {ref}.", hint=f"On offer are: {known or 'none yet'}.")
    return model


def get_serving_profile(ref: str) -> ServingProfile:
    """By public id or name. Raises NotFound."""
    profile = ServingProfile.objects.select_related("foundation_model").filter(Q(public_id=ref) | Q(name=ref)).first()
    if profile is None:
        raise NotFound(f"There is no serving profile {ref}.")
    return profile
