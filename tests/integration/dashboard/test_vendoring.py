"""What other people wrote lies in static/vendor, byte for byte what the lock file says."""

import hashlib
import json
import re
from pathlib import Path

from dashboard.context import _entries
from dashboard.words import _WORDS

ROOT = Path(__file__).resolve().parents[3]
VENDOR = ROOT / "static" / "vendor"
LOCK = json.loads((VENDOR / "vendor.lock.json").read_text(encoding="utf-8"))


def test_every_vendored_file_is_locked_and_unchanged() -> None:
    locked = {file["path"]: file["sha256"] for package in LOCK["packages"] for file in package["files"]}
    there = {
        path.relative_to(VENDOR).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name != "vendor.lock.json"
    }
    assert there == locked


def test_every_package_has_version_integrity_and_licence() -> None:
    for package in LOCK["packages"]:
        assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"])
        assert package["integrity"].startswith("sha512-")
        assert package["licence"]
        assert any(file["path"].endswith("/LICENSE") for file in package["files"])


def test_the_icons_are_those_that_pages_draw() -> None:
    drawn = set()
    for path in (ROOT / "templates").rglob("*.html"):
        drawn |= set(re.findall(r'(?:% icon |glyph=)"([a-z0-9-]+)"', path.read_text(encoding="utf-8")))
    drawn |= {word.icon for words in _WORDS.values() for word in words.values()}
    drawn |= {entry.icon for entry in _entries()}
    assert {path.stem for path in (VENDOR / "lucide").glob("*.svg")} == drawn


def test_our_own_styles_and_scripts_load_nothing_from_elsewhere() -> None:
    for path in [*(ROOT / "static" / "css").glob("*.css"), *(ROOT / "static" / "js").glob("*.js")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"url\(|@import|https?://|\beval\b|new Function", text), path.name


def test_our_own_script_stays_small() -> None:
    assert len((ROOT / "static" / "js" / "site.js").read_text(encoding="utf-8").splitlines()) < 300
