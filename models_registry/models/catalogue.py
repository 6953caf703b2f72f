"""Base models on offer, and how each is served."""

from django.db import models

from core.models import PublicModel


class FoundationModel(PublicModel):
    """A base model on offer. The numbers come from its config.json, which is kept whole."""

    PREFIX = "fm"

    name = models.CharField(max_length=80)
    revision = models.CharField(max_length=80, blank=True)
    config = models.JSONField()
    family = models.CharField(max_length=40)
    layers = models.PositiveIntegerField()
    hidden_size = models.PositiveIntegerField()
    attention_heads = models.PositiveIntegerField()
    key_value_heads = models.PositiveIntegerField()
    head_dim = models.PositiveIntegerField()
    vocabulary_size = models.PositiveIntegerField()
    context_length = models.PositiveIntegerField(null=True)
    model_data_uri = models.CharField(max_length=1024)

    class Meta:
        ordering = ["name", "revision"]
        constraints = [models.UniqueConstraint(fields=["name", "revision"], name="foundation_model_unique")]

    def __str__(self) -> str:
        return f"{self.name} {self.revision}".strip()


class ServingProfile(PublicModel):
    """How a base model is served: the container, the engine whose rules uploads must meet, and its limits."""

    PREFIX = "sp"

    name = models.SlugField(max_length=60, unique=True)
    foundation_model = models.ForeignKey(FoundationModel, on_delete=models.PROTECT, related_name="serving_profiles")
    image = models.CharField(max_length=255)
    engine = models.CharField(max_length=40)
    max_lora_rank = models.PositiveIntegerField()
    max_loras = models.PositiveIntegerField()
    accelerators = models.PositiveIntegerField()
    min_memory_mb = models.PositiveIntegerField()
    environment = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.name
