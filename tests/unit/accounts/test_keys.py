"""The form of API keys: what is drawn can be read, what was mistyped cannot."""

import pytest

from accounts import keys


def test_a_drawn_key_can_be_read_again() -> None:
    text, parts = keys.generate(live=False)
    assert text.startswith("cpk_test_")
    assert keys.parse(text) == parts
    assert len(parts.secret) == 43


def test_production_keys_say_so() -> None:
    assert keys.generate(live=True)[0].startswith("cpk_live_")


def test_no_two_keys_are_alike() -> None:
    assert len({keys.generate(live=False)[1].secret for _ in range(200)}) == 200


def test_one_wrong_letter_anywhere_is_seen_without_a_database() -> None:
    text, _ = keys.generate(live=False)
    for position, letter in enumerate(text):
        other = "b" if letter != "b" else "c"
        assert keys.parse(text[:position] + other + text[position + 1 :]) is None, position


@pytest.mark.parametrize(
    "text", ["", "cpk_test_", "Bearer x", "cpk_test_aaaaaaaaaaaa_short_000000", "ключ", "cpk_test_\x00", "a" * 10_000]
)
def test_other_texts_are_no_keys(text: str) -> None:
    assert keys.parse(text) is None


def test_a_trailing_newline_is_not_part_of_a_key() -> None:
    assert keys.parse(keys.generate(live=False)[0] + "\n") is None


def test_what_is_stored_depends_on_secret_and_pepper_and_holds_neither() -> None:
    stored = keys.hash_secret("s" * 43, pepper="p" * 32)
    assert len(stored) == 64
    assert stored != keys.hash_secret("s" * 43, pepper="q" * 32)
    assert stored != keys.hash_secret("t" * 43, pepper="p" * 32)


def test_neither_repr_nor_hint_gives_the_secret_away() -> None:
    text, parts = keys.generate(live=False)
    assert parts.secret not in repr(parts)
    hint = keys.visible_hint(text)
    assert hint.startswith(f"cpk_test_{parts.lookup}")
    assert all(parts.secret[i : i + 4] not in hint for i in range(40))
