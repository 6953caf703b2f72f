"""Bedrock's application inference profiles, seen as hosted objects like all others.

AWS gives a profile an id of its own and finds it by that id only, so a name is found by listing. A profile is ACTIVE
from its creation on and cannot be changed.
"""

import re
from collections.abc import Mapping
from typing import Any

from aws import errors
from aws.boto.translate import call, request_id
from aws.gateway import IN_SERVICE, InferenceProfileSpec, Receipt, Sighting

KIND = "inference_profile"
PAGE_SIZE = 1000
ACTIVE = "ACTIVE"
# Ids of system-defined profiles begin with a geography: `us.`, `eu.`, `apac.`, `us-gov.`, `global.`, …
GEOGRAPHIC = re.compile(r"[a-z][a-z-]*\.[a-z0-9-]+\..+")


def is_profile(arn: str) -> bool:
    """Whether an ARN is that of an application inference profile."""
    return ":application-inference-profile/" in arn


class BotoInferenceProfiles:
    """What `BotoHosting` does for the kind `inference_profile`, over a boto3 `bedrock` client."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def create(self, spec: InferenceProfileSpec, *, tags: Mapping[str, str]) -> Receipt:
        """Ask for a profile. A name that is taken by another one is AlreadyExists, an unknown model InvalidRequest."""
        try:
            reply = call(
                self._client.create_inference_profile,
                "CreateInferenceProfile",
                "inferenceProfileArn",
                inferenceProfileName=spec.name,
                # The name is unique to the wish, so a repeated request is known to AWS as the same one.
                clientRequestToken=spec.name,
                modelSource={"copyFrom": self._source(spec.model_id)},
                tags=[{"key": key, "value": value} for key, value in sorted(tags.items())],
            )
        except errors.Missing as error:
            # Nothing of ours is missing that could still come: the region does not have this model.
            raise errors.InvalidRequest(
                code=error.code, message=error.message, operation=error.operation, request_id=error.request_id
            ) from error
        return Receipt(request_id=request_id(reply), arn=reply["inferenceProfileArn"])

    def delete(self, name: str) -> Receipt:
        """Remove the profile of that name. Raises Missing."""
        arn = self.describe(name).arn
        reply = call(self._client.delete_inference_profile, "DeleteInferenceProfile", inferenceProfileIdentifier=arn)
        return Receipt(request_id=request_id(reply))

    def describe(self, name: str) -> Sighting:
        """The profile of that name. Raises Missing."""
        found = self.list(name_contains=name).get(name)
        if found is None:
            raise errors.Missing(
                code="ResourceNotFoundException",
                message=f"no application inference profile is named {name}",
                operation="ListInferenceProfiles",
            )
        return found

    def list(self, *, name_contains: str = "") -> dict[str, Sighting]:
        """All application profiles whose name contains the text."""
        found: dict[str, Sighting] = {}
        token: str | None = None
        while True:
            reply = call(
                self._client.list_inference_profiles,
                "ListInferenceProfiles",
                "inferenceProfileSummaries",
                typeEquals="APPLICATION",
                maxResults=PAGE_SIZE,
                **({"nextToken": token} if token else {}),
            )
            for row in reply["inferenceProfileSummaries"]:
                if name_contains in row["inferenceProfileName"]:
                    found[row["inferenceProfileName"]] = _sighting(row, request_id(reply))
            token = reply.get("nextToken")
            if not token:
                return found

    def tags(self, arn: str) -> dict[str, str]:
        """The tags of a profile."""
        reply = call(self._client.list_tags_for_resource, "ListTagsForResource", resourceARN=arn)
        return {tag["key"]: tag["value"] for tag in reply.get("tags", [])}

    def _source(self, model_id: str) -> str:
        """The ARN to copy from: a system-defined profile's own, which names the account, or a foundation model's."""
        if GEOGRAPHIC.fullmatch(model_id):
            reply = call(
                self._client.get_inference_profile,
                "GetInferenceProfile",
                "inferenceProfileArn",
                inferenceProfileIdentifier=model_id,
            )
            return str(reply["inferenceProfileArn"])
        partition, region = self._client.meta.partition, self._client.meta.region_name
        return f"arn:{partition}:bedrock:{region}::foundation-model/{model_id}"


def _sighting(row: Mapping[str, Any], asked: str) -> Sighting:
    return Sighting(
        kind="inference_profile",
        name=row["inferenceProfileName"],
        arn=row["inferenceProfileArn"],
        status=IN_SERVICE if row["status"] == ACTIVE else row["status"],
        created_at=row["createdAt"],
        modified_at=row.get("updatedAt"),
        is_detailed=True,
        request_id=asked,
    )
