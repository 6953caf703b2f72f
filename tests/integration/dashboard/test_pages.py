"""What every page owes: nothing from elsewhere, nothing inline, a place in the frame, and words for everyone."""

import re
from collections import Counter
from html.parser import HTMLParser

import pytest
from django.conf import settings
from django.test import Client, RequestFactory
from django.urls import reverse

from accounts.models import User
from dashboard.errors import server_error
from provisioning.models import ManagedResource, Operation
from provisioning.states import OperationState
from tests.integration.dashboard.addresses import PAGES
from tests.integration.dashboard.furniture import Furnished

FIELDS = {"input", "select", "textarea"}
UNLABELLED = {"hidden", "submit"}


class Seen(HTMLParser):
    """What a page holds, tag by tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def pages(admin: Client, furnished: Furnished) -> dict[str, str]:
    refs = furnished.refs()
    paths = {address.name: address.path(refs) for address in PAGES}
    paths |= {
        "rejected version": reverse("version-detail", args=[furnished.rejected]),
        "live version": reverse("version-detail", args=[furnished.live]),
        "draft": reverse("invoice-detail", args=[furnished.draft.public_id]),
        "note": reverse("invoice-detail", args=[furnished.note.public_id]),
        "hours": reverse("tenant-usage-hours", args=["acme"]) + "?meter=input_tokens&line=pooled&range=last-month",
        "search": reverse("search") + "?q=acme",
        "not found": "/nothing/here/",
    }
    found = {}
    for name, path in paths.items():
        response = admin.get(path)
        assert response.status_code in (200, 404), (name, response.status_code)
        assert response["Content-Type"].startswith("text/html")
        assert response["Cache-Control"] == "no-store", name
        assert "HX-Request" in response["Vary"]
        # The page that sends parts to the bucket may reach it, and nothing else is any wider.
        policy, _, reach = response["Content-Security-Policy"].partition("; connect-src ")
        assert policy == Client().get(reverse("login"))["Content-Security-Policy"], name
        assert not reach or (name, reach) == ("adapter-upload", f"'self' {settings.ENV.aws_endpoint_url}"), name
        found[name] = response.content.decode()
    found["login"] = Client().get(reverse("login")).content.decode()
    return found


def test_policy_lets_nothing_in_from_elsewhere_and_nothing_inline(db: None) -> None:
    policy = dict(
        part.strip().split(" ", 1)
        for part in Client().get(reverse("login"))["Content-Security-Policy"].split(";")
        if part
    )
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["object-src"] == "'none'"
    assert policy["img-src"] == "'self' data:"
    assert "unsafe" not in " ".join(policy.values())
    assert "http" not in " ".join(policy.values())


def test_every_page_keeps_the_house_rules(admin: Client, furnished: Furnished) -> None:
    for name, text in pages(admin, furnished).items():
        page = Seen(text)
        for tag, attrs in page.tags:
            assert "style" not in attrs, (name, tag, attrs)
            assert not [key for key in attrs if key.startswith(("on", "hx-on", "hx-vals", "x-"))], (name, tag, attrs)
            for key in ("src", "href", "action", "hx-get", "hx-post", "poster", "srcset"):
                value = attrs.get(key) or ""
                assert not re.match(r"\s*(https?:)?//|\s*javascript:|\s*data:", value), (name, tag, value)
        assert all(script.get("src") for script in page.named("script")), name
        assert "style" not in {tag for tag, _ in page.tags}, name
        repeated = [id_ for id_, count in Counter(a["id"] for _, a in page.tags if "id" in a).items() if count > 1]
        assert not repeated, (name, repeated)
        assert len(page.named("h1")) == 1, name
        assert page.named("html")[0]["lang"] == "en"
        assert page.named("title"), name
        assert len(page.named("main")) == 1
        assert 'href="#main"' in text


def test_every_field_and_every_button_has_a_name(admin: Client, furnished: Furnished) -> None:
    for name, text in pages(admin, furnished).items():
        page = Seen(text)
        labelled = {label.get("for") for label in page.named("label")}
        for tag, attrs in page.tags:
            if tag in FIELDS and attrs.get("type") not in UNLABELLED:
                assert attrs.get("id") in labelled or attrs.get("aria-label"), (name, attrs)
        for label in re.findall(r"<button[^>]*>(.*?)</button>", text, re.DOTALL):
            opening = re.findall(r"<button[^>]*>", text)
            words = re.sub(r"<[^>]+>|\s", "", label)
            assert words or any("aria-label" in each for each in opening), name
        for header in page.named("th"):
            assert header.get("scope") == "col", name
        for picture in (attrs for tag, attrs in page.tags if tag == "svg"):
            assert picture.get("aria-hidden") == "true" or picture.get("aria-label"), name


def test_what_people_named_is_shown_as_text(admin: Client, furnished: Furnished) -> None:
    text = admin.get(reverse("version-detail", args=[furnished.rejected])).content.decode()
    assert "&lt;b&gt;DoRA&lt;/b&gt;" in text
    assert "<b>DoRA" not in text
    assert "0.3<" in text, "0.1 + 0.2 is shown as people write it"


def test_a_fragment_is_the_middle_of_its_page(admin: Client, furnished: Furnished) -> None:
    for name in ("tenant-list", "adapter-list", "operation-list", "invoice-list", "usage", "audit", "key-list", "home"):
        page, part = admin.get(reverse(name)), admin.get(reverse(name), headers={"HX-Request": "true"})
        assert "<html" in page.content.decode()
        assert "<html" not in part.content.decode(), name
        assert re.match(r'\s*<div id="[a-z-]+"', part.content.decode()), name
        again = admin.get(reverse(name), headers={"HX-Request": "true", "HX-History-Restore-Request": "true"})
        assert "<html" in again.content.decode(), "going back in history gets the page"


@pytest.mark.parametrize(("role", "hidden"), [("viewer", "Settings"), ("ml_engineer", "Billing")])
def test_navigation_has_only_what_the_person_may_open(role: str, hidden: str, sign_in, furnished: Furnished) -> None:  # type: ignore[no-untyped-def]
    text = sign_in(role).get(reverse("home")).content.decode()
    side = text[text.index('aria-label="Main"') : text.index("</nav>")]
    assert hidden not in side
    assert "Tenants" in side


def test_a_forbidden_button_says_who_may(sign_in, furnished: Furnished) -> None:  # type: ignore[no-untyped-def]
    text = sign_in("viewer").get(reverse("tenant-detail", args=["acme"])).content.decode()
    assert "Needs the role Operator" in text
    assert reverse("tenant-suspend", args=["acme"]) not in text


def test_documents_come_as_files(admin: Client, furnished: Furnished) -> None:
    pdf = admin.get(reverse("invoice-document", args=[furnished.final.public_id, "pdf"]))
    assert pdf.content.startswith(b"%PDF-")
    assert pdf["Content-Disposition"].startswith("attachment; filename=")
    csv = admin.get(reverse("invoice-document", args=[furnished.final.public_id, "csv"]))
    assert csv["Content-Type"].startswith("text/csv")
    for odd in ("exe", "pdf?language=xx"):
        base = reverse("invoice-document", args=[furnished.final.public_id, odd.partition("?")[0]])
        response = admin.get(base, {"language": "xx"} if "?" in odd else {})
        assert response.status_code == 422
        assert b"unknown_document" in response.content


def test_a_line_leads_down_to_the_question_that_cloudwatch_was_asked(admin: Client, furnished: Furnished) -> None:
    text = admin.get(reverse("invoice-line", args=[furnished.line])).content.decode()
    assert "1,234,567" in text
    assert "us-west-2 ControlPlane/DataPlane InputTokens" in text
    assert "req-1" in text


def test_usage_counts_every_token_once(admin: Client, furnished: Furnished) -> None:
    text = admin.get(reverse("usage"), {"range": "last-month"}).content.decode()
    assert text.count("1,234,567") >= 2, "one row for each tenant"
    assert "2,469,134" in text, "their sum below the days"
    assert ">1 Oct<" in text
    assert ">31 Oct<" in text


def test_home_lists_what_needs_a_person_with_the_reason(admin: Client, furnished: Furnished) -> None:
    text = admin.get(reverse("home")).content.decode()
    assert "Onboard Acme K.K. failed" in text
    assert "ml.g5.2xlarge for endpoint usage: 0" in text
    assert "1 draft invoice waits" in text


def test_an_operation_that_aws_holds_up_says_so_and_what_to_do(admin: Client, furnished: Furnished) -> None:
    path = reverse("operation-detail", args=[furnished.operation])
    running = Operation.objects.filter(public_id=furnished.operation)
    running.update(state=OperationState.RUNNING, detail="", finished_at=None)
    resources = ManagedResource.objects.filter(operation_steps__operation__in=running)
    said = {"last_operation": "DescribeEndpoint", "detail": "DescribeEndpoint: Rate exceeded", "stuck_reason": ""}
    assert resources.update(**said, failures=0) and "Rate exceeded" not in admin.get(path).content.decode()
    resources.update(failures=3)
    shown = admin.get(path).content.decode()
    assert "AWS holds it up" in shown and "Rate exceeded" in shown and "tried again by itself" in shown
    assert "Retry now" in shown
    resources.update(failures=0)
    running.update(detail="PutItem: Could not connect (request without an answer)")
    assert "PutItem: Could not connect" in admin.get(path).content.decode()


def test_a_failure_shows_the_request_id_and_nothing_of_the_inside(admin: Client, rf: RequestFactory) -> None:
    request = rf.get("/tenants/")
    request.user = User.objects.get()
    request.request_id = "7f3c9a1b"  # type: ignore[attr-defined]
    text = server_error(request).content.decode()
    assert "Something broke on our side" in text
    assert "7f3c9a1b" in text
    assert "Traceback" not in text
    assert 'aria-label="Main"' in text, "the navigation stays"
