"""Names and digests: derived, bounded, never colliding by truncation."""

import re

import pytest

from aws.gateway import (
    AdapterComponentSpec,
    BaseComponentSpec,
    EndpointConfigSpec,
    EndpointSpec,
    InferenceProfileSpec,
    ModelSpec,
)
from provisioning.specs import KINDS, Ref, Wish, canonical_json, derive_name, digest, hosted_spec, resolve

AWS_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
SLUGS = ["a", "acme", "x" * 20, "with-hyphens-in-it", "acme-" + "y" * 80, "Ünïcode Nämé", "---", "a--b", ""]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slug", SLUGS)
@pytest.mark.parametrize("incarnation", [1, 99, 123456])
@pytest.mark.parametrize("install", ["a", "install8"])
def test_a_name_fits_and_keeps_its_hash(kind, slug, incarnation, install):
    name = derive_name(install=install, kind=kind, slug=slug, identity_digest=digest({"a": 1}), incarnation=incarnation)
    assert len(name) <= 63
    assert AWS_NAME.fullmatch(name)
    assert name.startswith(f"{install}-")
    assert name.endswith(f"-{digest({'a': 1})[:8]}-{incarnation}")


def test_slugs_that_differ_only_beyond_the_cut_have_names_that_differ():
    names = {
        derive_name(
            install="local", kind="model", slug="y" * 60 + end, identity_digest=digest({"of": end}), incarnation=1
        )
        for end in "ab"
    }
    assert len(names) == 2


def test_a_digest_does_not_depend_on_order_and_does_on_every_value():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": "1"}) != digest({"a": None})
    assert canonical_json({"b": "ü", "a": 1}) == '{"a":1,"b":"ü"}'.encode()


def test_references_become_names_or_are_missing():
    wish = Wish("s", "endpoint", "acme", "r", 1, {"place": "x"}, {"config_name": Ref("c")})
    assert wish.needs == {"c"}
    assert resolve(wish.settings, {"c": "name"}) == {"config_name": "name"}
    with pytest.raises(KeyError):
        resolve(wish.settings, {})


def test_each_kind_has_its_spec():
    role = "arn:aws:iam::123456789012:role/x"
    model = {"image": "i", "model_data_uri": "s3://b/k/", "environment": {}, "execution_role_arn": role}
    config = {"instance_type": "t", "instance_count": 1, "max_instance_count": 2, "execution_role_arn": role}
    base = {"endpoint_name": "e", "model_name": "m", "accelerators": 1, "min_memory_mb": 128}
    adapter = {"endpoint_name": "e", "base_component_name": "b", "artifact_url": "s3://x", "adapter_version": "adv"}
    assert isinstance(hosted_spec("model", "n", model, {}), ModelSpec)
    assert isinstance(hosted_spec("endpoint_config", "n", config, {}), EndpointConfigSpec)
    assert hosted_spec("endpoint", "n", {"place": "p"}, {"config_name": "c"}) == EndpointSpec("n", "c")
    assert isinstance(hosted_spec("base_component", "n", base, {"copies": 2}), BaseComponentSpec)
    assert isinstance(hosted_spec("adapter_component", "n", adapter, {}), AdapterComponentSpec)
    profile = hosted_spec("inference_profile", "n", {"model_id": "amazon.nova-pro-v1:0"}, {})
    assert profile == InferenceProfileSpec("n", "amazon.nova-pro-v1:0")
    with pytest.raises(ValueError, match="no such kind"):
        hosted_spec("bucket", "n", {}, {})
