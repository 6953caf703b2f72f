"""The runtime config table: versions are immutable, `current` only goes up."""

import pytest

from aws import connect, errors

TENANT = "ten_" + "1" * 26


def put(version: int, text: str = "{}") -> None:
    connect.config_store().put_version(TENANT, version, text.encode(), f"sha-{text}", "signature")


def test_nothing_is_current_before_the_first_flip(aws):
    assert connect.config_store().read_current(TENANT) is None
    put(1)
    assert connect.config_store().read_current(TENANT) is None


def test_a_version_can_be_written_again_but_not_changed(aws):
    put(1, '{"a":1}')
    put(1, '{"a":1}')
    with pytest.raises(errors.AlreadyExists):
        put(1, '{"a":2}')
    connect.config_store().flip_current(TENANT, 1)
    assert connect.config_store().read_current(TENANT).document == b'{"a":1}'


def test_the_newest_wins_whatever_the_order(aws):
    store = connect.config_store()
    for version in (1, 2, 3):
        put(version, f'{{"v":{version}}}')
    assert store.flip_current(TENANT, 2) is True
    assert store.flip_current(TENANT, 2) is True
    assert store.flip_current(TENANT, 1) is False
    assert store.flip_current(TENANT, 3) is True
    current = store.read_current(TENANT)
    assert (current.version, current.document) == (3, b'{"v":3}')


def test_erasing_takes_all_of_one_tenant(aws):
    store, other = connect.config_store(), "ten_" + "2" * 26
    put(1)
    put(2)
    store.flip_current(TENANT, 2)
    store.put_version(other, 1, b"{}", "sha", "signature")
    store.flip_current(other, 1)
    assert store.erase(TENANT) == 3
    assert store.erase(TENANT) == 0
    assert store.read_current(TENANT) is None
    assert store.read_current(other).version == 1
