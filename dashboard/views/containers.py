"""Container settings: paste some to learn what breaks at which image, or leave them out to be given some."""

from typing import Any

from django.http import HttpResponse
from django.views.decorators.http import require_http_methods

from core.errors import DomainError
from dashboard.access import OperatorRequest, requires
from dashboard.container_forms import ContainerForm
from dashboard.reading import posted
from dashboard.rendering import render_page_or_fragment
from models_registry.containers.answer import composed, judged
from models_registry.containers.generate import MODEL_FOLDER, Assignment, BaseModel
from models_registry.containers.images import known_images, newest


@requires("scenarios.view")
@require_http_methods(["GET", "HEAD", "POST"])
def containers(request: OperatorRequest) -> HttpResponse:
    """The form, and under it the answer; nothing is kept."""
    form = ContainerForm(posted(request), initial={"image": newest().name, "in_one_batch": 4})
    context: dict[str, Any] = {"form": form, "tab": "containers", "images": known_images()}
    status = 200
    if request.method == "POST":
        if form.is_valid():
            try:
                context["answer"] = _answer(form.cleaned_data)
            except DomainError as error:
                form.refuse(error)
        status = 422 if form.errors else 200
    return render_page_or_fragment(
        request, "dashboard/planner/containers.html", "dashboard/planner/_containers.html", context, status=status
    )


def _answer(asked: dict[str, Any]) -> dict[str, Any]:
    assignment = Assignment(asked["ranks"], asked["in_one_batch"])
    if asked["text"].strip():
        return judged(asked["image"], asked["text"], assignment, target=asked["target"])
    return composed(asked["target"] or asked["image"], BaseModel(MODEL_FOLDER), assignment)
