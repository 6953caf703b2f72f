"""/container-settings: what a serving container should be told, and what is wrong with what it is told."""

from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import Body, Text
from api.endpoint import ApiView, endpoint
from api.idempotency import KeyRule
from models_registry.containers.answer import composed, judged, read_ranks
from models_registry.containers.generate import Assignment, BaseModel
from models_registry.containers.settings import MAX_CHARACTERS

IMAGE_EXAMPLE = "763104351884.dkr.ecr.us-west-2.amazonaws.com/djl-inference:0.36.0-lmi28.0.0-cu130"
OLD_IMAGE_EXAMPLE = "763104351884.dkr.ecr.us-west-2.amazonaws.com/djl-deepspeed:0.25.0-deepspeed0.11.0-cu118"


class AssignmentIn(Body):
    """An image, and the adapters that one copy is to serve."""

    image = Text(max_length=300, help_text="A URI, or `repository:tag`.")
    ranks = serializers.ListField(
        child=Text(max_length=20),
        max_length=1000,
        default=list,
        help_text="One per adapter: `16`, or `16x30` for thirty of rank 16.",
    )
    in_one_batch = serializers.IntegerField(min_value=1, max_value=1000, default=4)

    def validate_ranks(self, texts: list[str]) -> tuple[int, ...]:
        """The ranks as numbers. Raises ValidationError."""
        try:
            return read_ranks(texts)
        except ValueError as error:
            raise ValidationError(str(error)) from error


class GenerateIn(AssignmentIn):
    """What to make settings for."""

    model_id = Text(max_length=1024, help_text="Where the base model's weights are: an S3 URI, or a folder inside.")
    max_model_len = serializers.IntegerField(min_value=1, max_value=100_000_000, allow_null=True, default=None)
    secrets = serializers.DictField(
        child=Text(max_length=2048), default=dict, help_text="Names and ARNs of AWS Secrets Manager, never values."
    )


class LintIn(AssignmentIn):
    """Settings to judge."""

    text = Text(max_length=MAX_CHARACTERS, trim_whitespace=False, help_text="serving.properties, or NAME=value lines.")
    target = Text(max_length=300, allow_blank=True, default="", help_text="Correct them for this image instead.")


class ImageOut(serializers.Serializer[Any]):
    """A container image."""

    name = serializers.CharField()
    title = serializers.CharField()
    engine_version = serializers.CharField(allow_null=True)
    is_current = serializers.BooleanField()
    is_discontinued = serializers.BooleanField()


class SettingsOut(serializers.Serializer[Any]):
    """Settings in the form they came in, and as a SageMaker Model's environment."""

    form = serializers.ChoiceField(choices=["properties", "environment"])
    text = serializers.CharField()
    environment = serializers.DictField(child=serializers.CharField())


class GeneratedOut(SettingsOut):
    """Generated settings."""

    image = ImageOut()


class DiagnosisOut(serializers.Serializer[Any]):
    """One thing that is wrong."""

    code = serializers.CharField()
    severity = serializers.ChoiceField(choices=["error", "warning"])
    setting = serializers.CharField()
    message = serializers.CharField()
    hint = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]  # DRF moves declared fields out of the class


class LintOut(serializers.Serializer[Any]):
    """A verdict, and settings made right."""

    image = ImageOut()
    target = ImageOut()
    is_usable = serializers.BooleanField(help_text="Whether a container started with these settings would serve.")
    diagnoses = DiagnosisOut(many=True)
    corrected = SettingsOut()
    diff = serializers.CharField(help_text="Unified; empty when nothing changes.")


class ContainerSettings(ApiView):
    """Settings that serve."""

    @endpoint(
        "generate_container_settings",
        scope="scenarios.manage",
        body=GenerateIn,
        reply=GeneratedOut,
        idempotency=KeyRule.IGNORED,
        request_example={"image": IMAGE_EXAMPLE, "model_id": "s3://models/llama-3-1-8b/", "ranks": ["16x30", "64"]},
    )
    def post(self, request: Request) -> Response:
        """Generate a serving container's settings for the adapters assigned to it; nothing is kept."""
        asked = self.body
        base = BaseModel(asked["model_id"], asked["max_model_len"], asked["secrets"])
        made = composed(asked["image"], base, Assignment(asked["ranks"], asked["in_one_batch"]))
        return Response(self.show(GeneratedOut, made))


class ContainerSettingsLint(ApiView):
    """Settings judged."""

    @endpoint(
        "lint_container_settings",
        scope="scenarios.manage",
        body=LintIn,
        reply=LintOut,
        idempotency=KeyRule.IGNORED,
        request_example={
            "image": OLD_IMAGE_EXAMPLE,
            "text": "engine=MPI\noption.model_id=s3://models/llama-2-7b/\noption.rolling_batch=lmi-dist\n",
            "ranks": ["16"],
        },
    )
    def post(self, request: Request) -> Response:
        """Say what is wrong with a serving container's settings, and correct them; nothing is kept."""
        asked = self.body
        assignment = Assignment(asked["ranks"], asked["in_one_batch"])
        return Response(self.show(LintOut, judged(asked["image"], asked["text"], assignment, target=asked["target"])))
