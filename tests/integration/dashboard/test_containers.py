"""The container page: settings generated, judged, refused, in one form."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from models_registry.containers.images import newest

pytestmark = pytest.mark.django_db


def test_settings_are_judged_and_generated(sign_in: Callable[..., Client]) -> None:
    client, address = sign_in("viewer"), reverse("containers")
    assert newest().name in client.get(address).content.decode()
    asked = {"image": newest().name, "in_one_batch": "4", "ranks": "16x30, 33"}
    made = client.post(address, asked).content.decode()
    assert "OPTION_MAX_LORA_RANK=64" in made and "OPTION_MAX_CPU_LORAS=31" in made
    judged = client.post(address, asked | {"text": "engine=MPI"}).content.decode()
    assert "mpi_engine_removed" in judged and "It would not serve" in judged and "+engine=Python" in judged


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("ranks", "many", "is not a rank"),
        ("ranks", "600", "serves ranks up to 512"),
        ("image", "nginx:1.27", "names no image"),
        ("text", "engine", "not of the form key=value"),
    ],
)
def test_bad_input_is_answered_in_the_form(sign_in: Callable[..., Client], field: str, value: str, said: str) -> None:
    asked = {"image": newest().name, "in_one_batch": "4", field: value}
    answer = sign_in("viewer").post(reverse("containers"), asked)
    assert answer.status_code == 422
    assert said in answer.content.decode()
