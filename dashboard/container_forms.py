"""The form of the container page: settings to judge, or none to be given some."""

from typing import Any

from django import forms

from dashboard.forms import PlainForm
from models_registry.containers.answer import read_ranks
from models_registry.containers.images import known_images
from models_registry.containers.settings import MAX_CHARACTERS


class ContainerForm(PlainForm):
    """An image, the adapters that it is to serve, and the settings that somebody has."""

    image = forms.CharField(
        max_length=300,
        help_text="A URI, or repository:tag.",
        widget=forms.TextInput(attrs={"list": "images", "class": "form-control mono", "spellcheck": "false"}),
    )
    target = forms.ChoiceField(
        required=False,
        label="Correct for",
        help_text="An image to move to; otherwise the one above, or the newest where that one is no longer published.",
    )
    ranks = forms.CharField(
        required=False,
        max_length=2000,
        label="Ranks of the adapters",
        help_text="Such as 16, 64, or 16x30 for thirty adapters of rank 16.",
    )
    in_one_batch = forms.IntegerField(
        min_value=1,
        max_value=1000,
        label="Adapters in one batch",
        help_text="Each takes memory on the accelerator for the largest rank.",
    )
    text = forms.CharField(
        required=False,
        max_length=MAX_CHARACTERS,
        strip=False,
        label="Settings you have",
        widget=forms.Textarea(attrs={"rows": 12, "class": "form-control mono", "spellcheck": "false"}),
        help_text="serving.properties or NAME=value lines. Left empty, settings are generated.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        current = [(image.name, image.title) for image in known_images() if image.is_current]
        self.fields["target"].choices = [("", "The image above"), *current]  # type: ignore[attr-defined]

    def clean_ranks(self) -> tuple[int, ...]:
        """The ranks, one per adapter."""
        try:
            return read_ranks(self.cleaned_data["ranks"].replace(",", " ").split())
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error
