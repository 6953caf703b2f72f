"""Adapter artifacts as a container loads them: read from the emulator's own S3 and checked for their form."""

import hashlib
import io
import tarfile
import zlib
from urllib.parse import urlsplit

from aws_emulator.aws_others import OtherServices

_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")


class ArtifactRefused(Exception):
    """The container could not load; the text is what FailureReason says."""


class ArtifactStore:
    """Reads artifacts where SageMaker would."""

    def __init__(self, others: OtherServices) -> None:
        self._others = others

    def digest(self, account: str, region: str, url: str) -> str:
        """The SHA-256 of the artifact's bytes. Raises ArtifactRefused when it is missing, in another region than the
        endpoint, in another account's bucket, or no adapter archive."""
        where = urlsplit(url)
        lies_in = self._others.region_of_bucket(account, where.netloc)
        if lies_in not in ("", region):
            raise ArtifactRefused(
                f"The artifact {url} lies in {lies_in}; it must lie in the endpoint's region {region}."
            )
        value = self._others.read_object(account, where.netloc, where.path.lstrip("/"))
        if value is None:
            raise ArtifactRefused(f"Could not find the artifact {url}: no such object in S3.")
        check_archive(url, value)
        return hashlib.sha256(value).hexdigest()


def check_archive(url: str, value: bytes) -> None:
    """Refuse what is not one .tar.gz with the PEFT files at its root."""
    try:
        with tarfile.open(fileobj=io.BytesIO(value), mode="r:gz") as archive:
            names = {name.removeprefix("./") for name in archive.getnames()}
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ArtifactRefused(f"Could not unpack the artifact {url}: {error}.") from error
    if _ADAPTER_FILES[0] not in names or not names.intersection(_ADAPTER_FILES[1:]):
        raise ArtifactRefused(
            f"Could not load the artifact {url}: adapter_config.json and adapter_model.safetensors must lie at its "
            "root."
        )
