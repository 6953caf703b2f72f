"""/adapters/…/uploads and /adapter-uploads: large files, sent to the bucket in parts by whoever has them."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.adapters import AdapterVersionOut
from api.bodies import Body, PageQuery, Text
from api.endpoint import ApiView, endpoint
from api.idempotency import KeyRule
from models_registry import queries
from models_registry.services import multipart
from models_registry.services.provenance import LENGTHS, MAX_NOTES
from models_registry.services.uploads import MAX_PART_NAME, MAX_PARTS

SHA256 = r"^[0-9a-f]{64}\Z"
LARGEST_PART_COUNT = 10_000
_EXAMPLE_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
WORDS = {"notes", "metrics", *LENGTHS}


class Count(serializers.IntegerField):
    """A JSON whole number; DRF's own field would read one out of text."""

    def to_internal_value(self, data: Any) -> int:
        """Raises ValidationError for anything but a whole number in range."""
        if type(data) is not int:
            raise serializers.ValidationError("This must be a whole number.", code="wrong_type")
        return super().to_internal_value(data)


class UploadFileOut(serializers.Serializer[Any]):
    """One file of an upload."""

    position = serializers.IntegerField(help_text="From 0, in the order in which the files were announced.")
    name = serializers.CharField()
    size = serializers.IntegerField(help_text="Bytes.")
    parts = serializers.IntegerField(help_text="How many parts it has; all but the last have `part_bytes`.")


class AdapterUploadOut(serializers.Serializer[Any]):
    """An upload in parts. It is open until it is completed, aborted, or its day is over."""

    id = serializers.CharField(source="public_id")
    adapter = serializers.CharField(source="version.adapter.public_id")
    tenant = serializers.CharField(source="version.tenant.public_id")
    state = serializers.SerializerMethodField()
    part_bytes = serializers.IntegerField()
    files = UploadFileOut(many=True)
    version = serializers.CharField(source="version.public_id", help_text="What it becomes; visible once complete.")
    uploaded_by = serializers.CharField(source="version.uploaded_by")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(help_text="An upload that is still open then is dropped.")

    @extend_schema_field(serializers.ChoiceField(choices=["open", "completed"]))
    def get_state(self, upload: Any) -> str:
        """Whether parts are still taken."""
        return "open" if upload.is_open else "completed"


class PresignedPartOut(serializers.Serializer[Any]):
    """Where to PUT one part, and with which headers. The address needs no key; whoever has it can send this part."""

    file = serializers.IntegerField()
    number = serializers.IntegerField()
    url = serializers.CharField()
    headers = serializers.DictField(child=serializers.CharField())


class PresignedPartsOut(serializers.Serializer[Any]):
    """The addresses that were asked for, in that order; good for an hour."""

    parts = PresignedPartOut(many=True)


class ReceivedPartOut(serializers.Serializer[Any]):
    """A part that has arrived."""

    file = serializers.IntegerField()
    number = serializers.IntegerField()
    size = serializers.IntegerField(help_text="Bytes.")
    sha256 = serializers.CharField(help_text="As S3 verified it.")


class ReceivedPartsOut(serializers.Serializer[Any]):
    """All parts that have arrived; 5 GiB are 640 of them."""

    parts = ReceivedPartOut(many=True)


class AnnouncedFileIn(Body):
    """A file that will be sent."""

    name = Text(max_length=MAX_PART_NAME)
    size = Count(min_value=1, max_value=2**53, help_text="Bytes.")


class UploadBeginIn(Body):
    """The files to come, and words about them."""

    files = serializers.ListField(
        child=AnnouncedFileIn(),
        max_length=MAX_PARTS,
        help_text="adapter_config.json and adapter_model.safetensors, or one .tar.gz.",
    )
    notes = Text(required=False, allow_blank=True, max_length=MAX_NOTES)
    metrics = serializers.DictField(required=False)
    dataset_ref = Text(required=False, allow_blank=True, max_length=LENGTHS["dataset_ref"])
    base_revision = Text(required=False, allow_blank=True, max_length=LENGTHS["base_revision"])
    training_job = Text(required=False, allow_blank=True, max_length=LENGTHS["training_job"])


class Sha256(serializers.RegexField):
    """64 hexadecimal digits."""

    def __init__(self, **options: Any) -> None:
        super().__init__(SHA256, **options)

    def to_internal_value(self, data: Any) -> str:
        """Raises ValidationError for anything but a string of digits."""
        if not isinstance(data, str):
            raise serializers.ValidationError("This must be a string.", code="wrong_type")
        return super().to_internal_value(data)


class WantedPartIn(Body):
    """A part that is about to be sent."""

    file = Count(min_value=0, max_value=MAX_PARTS - 1, help_text="The file's position.")
    number = Count(min_value=1, max_value=LARGEST_PART_COUNT, help_text="From 1.")
    sha256 = Sha256(help_text="Of the part's bytes, hexadecimal.")


class PartsIn(Body):
    """The parts that addresses are wanted for."""

    parts = serializers.ListField(child=WantedPartIn(), max_length=multipart.MAX_PRESIGNED)


class CompletionIn(Body):
    """What was sent, so that nothing else is taken for it."""

    checksums = serializers.ListField(
        child=serializers.ListField(child=Sha256(), max_length=LARGEST_PART_COUNT),
        max_length=MAX_PARTS,
        help_text="For every file, in order, the sha256 of each of its parts.",
    )


class AdapterUploadList(ApiView):
    """The open uploads of one adapter."""

    @endpoint("list_adapter_uploads", scope="adapters.view", query=PageQuery, reply=AdapterUploadOut, many=True)
    def get(self, request: Request, adapter: str) -> Response:
        """List an adapter's open uploads, newest first."""
        found = queries.get_adapter(adapter, tenant_ids=self.visible_tenants)
        return self.page(
            queries.list_open_uploads(tenant_ids=self.visible_tenants, adapter_id=found.pk), AdapterUploadOut
        )

    @endpoint(
        "begin_adapter_upload",
        scope="adapters.upload",
        body=UploadBeginIn,
        reply=AdapterUploadOut,
        status=201,
        request_example={
            "files": [
                {"name": "adapter_config.json", "size": 731},
                {"name": "adapter_model.safetensors", "size": 83_945_296},
            ],
            "notes": "Trained on the May tickets.",
        },
    )
    def post(self, request: Request, adapter: str) -> Response:
        """Begin an upload in parts.

        Then ask for the parts' addresses, PUT the parts there, several at once and again where one fails, and
        complete the upload.
        """
        found = queries.get_adapter(adapter, tenant_ids=self.visible_tenants)
        files = [multipart.AnnouncedFile(file["name"], file["size"]) for file in self.body["files"]]
        words = {name: value for name, value in self.body.items() if name in WORDS}
        made = multipart.begin_upload(adapter_id=found.pk, files=files, words=words, actor=self.actor)
        upload = queries.get_upload(made.public_id, tenant_ids=self.visible_tenants)
        return self.reply(AdapterUploadOut, upload, status=201, location=f"/api/v1/adapter-uploads/{upload.public_id}")


class AdapterUploadDetail(ApiView):
    """One upload."""

    @endpoint("get_adapter_upload", scope="adapters.view", reply=AdapterUploadOut)
    def get(self, request: Request, adapter_upload: str) -> Response:
        """Read an upload."""
        return self.reply(AdapterUploadOut, queries.get_upload(adapter_upload, tenant_ids=self.visible_tenants))


class AdapterUploadParts(ApiView):
    """The parts of one upload."""

    @endpoint("list_upload_parts", scope="adapters.view", reply=ReceivedPartsOut)
    def get(self, request: Request, adapter_upload: str) -> Response:
        """List the parts that have arrived, to go on where an upload stopped."""
        upload = queries.get_upload(adapter_upload, tenant_ids=self.visible_tenants)
        parts = [
            {"file": position, "number": part.number, "size": part.size_bytes, "sha256": part.sha256}
            for position, file in enumerate(multipart.received_parts(upload_id=upload.pk))
            for part in file
        ]
        return self.reply(ReceivedPartsOut, {"parts": parts})

    @endpoint(
        "presign_upload_parts",
        scope="adapters.upload",
        body=PartsIn,
        reply=PresignedPartsOut,
        idempotency=KeyRule.IGNORED,  # addresses open the bucket, and are stale before a kept reply is
        request_example={"parts": [{"file": 0, "number": 1, "sha256": _EXAMPLE_SHA256}]},
    )
    def post(self, request: Request, adapter_upload: str) -> Response:
        """Get the addresses of parts.

        Each is for the bytes of that sha256 only. PUT the part there with the headers given and its Content-Length.
        """
        upload = queries.get_upload(adapter_upload, tenant_ids=self.visible_tenants)
        wanted = [multipart.WantedPart(**part) for part in self.body["parts"]]
        presigned = multipart.presign_parts(upload_id=upload.pk, parts=wanted)
        parts = [
            {"file": part.file, "number": part.number, "url": address.url, "headers": address.headers}
            for part, address in zip(wanted, presigned, strict=True)
        ]
        return self.reply(PresignedPartsOut, {"parts": parts})


class AdapterUploadCompletion(ApiView):
    """The end of an upload."""

    @endpoint(
        "complete_adapter_upload",
        scope="adapters.upload",
        body=CompletionIn,
        reply=AdapterVersionOut,
        status=202,
        request_example={"checksums": [[_EXAMPLE_SHA256]]},
    )
    def post(self, request: Request, adapter_upload: str) -> Response:
        """Complete an upload.

        The admission gate then decides, and the version becomes `ready` or `rejected` with its findings. Completing
        again answers the same version.
        """
        upload = queries.get_upload(adapter_upload, tenant_ids=self.visible_tenants)
        made = multipart.complete_upload(upload_id=upload.pk, checksums=self.body["checksums"], actor=self.actor)
        version = queries.get_version(made.public_id, tenant_ids=self.visible_tenants)
        location = f"/api/v1/adapter-versions/{version.public_id}"
        return self.reply(AdapterVersionOut, version, status=202, location=location)


class AdapterUploadAbortion(ApiView):
    """The dropping of an upload."""

    @endpoint("abort_adapter_upload", scope="adapters.upload", status=204)
    def post(self, request: Request, adapter_upload: str) -> Response:
        """Drop an open upload and what has arrived of it."""
        upload = queries.get_upload(adapter_upload, tenant_ids=self.visible_tenants)
        multipart.abort_upload(upload_id=upload.pk)
        return Response(status=204)
