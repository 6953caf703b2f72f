"""The whole product as processes: PostgreSQL, Valkey, local AWS, web, worker, beat; one stack for the session."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from playwright.sync_api import Browser, StorageState, sync_playwright

from demo.client import Client, issue_key
from demo.lister import Account
from local_stack.doctor import BROWSERS
from local_stack.emulator import EmulatorClient, free_port
from local_stack.home import Home
from local_stack.paths import ROOT
from local_stack.stack import Stack


@dataclass
class Product:
    """A running product, and the views that a stranger has of it: REST, and what AWS lists."""

    stack: Stack
    client: Client
    account: Account
    aws: EmulatorClient

    @property
    def url(self) -> str:
        return self.stack.url

    def manage(self, *command: str) -> str:
        """The output of a management command, which must succeed."""
        argv = [sys.executable, "manage.py", *command]
        done = subprocess.run(argv, cwd=ROOT, env=self.stack.env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="session")
def product() -> Iterator[Product]:
    """The stack, in a folder of its own, without example data."""
    folder = Path(tempfile.mkdtemp(prefix="cp-e2e-"))
    home = Home(folder / "var")
    with Stack(home) as stack:
        stack.start_services()
        stack.start_product(wanted_port=free_port())
        key = issue_key(stack.env, "e2e")
        aws = EmulatorClient(stack.env["AWS_ENDPOINT_URL"])
        yield Product(stack, Client(stack.url, key), Account(stack.env), aws)
    home.remove()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium, driven by Playwright."""
    program = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if program is None:
        missing = "no Chromium on this machine (Debian: apt-get install chromium)"
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        # As root Chromium refuses its own sandbox; the pages are ours alone.
        chromium = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def signed_in(browser: Browser, product: Product) -> Callable[[str], StorageState]:
    """The cookies of somebody with this role, signed in once for the session; for tests that are not about it."""

    @cache
    def state(role: str) -> StorageState:
        product.manage("create_operator", f"e2e-{role}", "--role", role)
        context = browser.new_context(base_url=product.url)
        context.new_page().goto(product.manage("login_link", f"e2e-{role}"))
        cookies = context.storage_state()
        context.close()
        return cookies

    return state
