"""One shape for every action that asks first: what will happen, a form, a button that names the deed.

The same address answers a page (without JavaScript) or the inside of a dialog.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse

from core.errors import DomainError
from dashboard.access import OperatorRequest
from dashboard.forms import PlainForm
from dashboard.rendering import done, render_page_or_fragment


@dataclass(frozen=True, slots=True)
class Question:
    """What the person is about to do. `plan` says what will change, `verb` is the button, `is_risk` colours it."""

    heading: str
    verb: str
    plan: Sequence[str]
    back_url: str
    is_risk: bool = False


def ask_then_do(
    request: OperatorRequest,
    question: Question,
    form: PlainForm,
    act: Callable[[dict[str, Any]], object],
    *,
    message: str,
    done_url: Callable[[], str] | None = None,
) -> HttpResponse:
    """Ask on GET; on POST call `act` with the checked data and go to `done_url` (by default back) with `message`.

    A form that does not check answers 422, and a service's refusal its own status, both with the form and the reason;
    in neither case has anything changed.
    """
    status = 200
    if request.method == "POST":
        if form.is_valid():
            try:
                act(form.cleaned_data)
            except DomainError as error:
                form.refuse(error)
                status = error.status
            else:
                return done(request, message, done_url() if done_url else question.back_url)
        else:
            status = 422
    context = {
        "form": form,
        "heading": question.heading,
        "verb": question.verb,
        "plan": question.plan,
        "back_url": question.back_url,
        "is_risk": question.is_risk,
        "action_url": request.path,
    }
    return render_page_or_fragment(
        request, "dashboard/confirm.html", "components/_confirm.html", context, status=status
    )
