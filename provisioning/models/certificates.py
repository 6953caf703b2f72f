"""What a departed tenant is given: proof that nothing of it is left in AWS."""

from django.db import models

from core import clock
from core.models import PublicModel
from tenants.models import Tenant
from tenants.scoping import TenantScoped


class CertificateQuerySet(TenantScoped, models.QuerySet["DeletionCertificate"]):
    """Scoped reads."""


class DeletionCertificate(PublicModel):
    """What a second read of AWS looked for after a departure, and what it found; never changed.

    `is_clean` says that every place was read and nothing was found. Any other read is kept too, and another follows.
    """

    PREFIX = "cert"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="deletion_certificates")
    number = models.PositiveIntegerField()
    content = models.JSONField()
    content_sha256 = models.CharField(max_length=64)
    pdf = models.BinaryField()
    pdf_sha256 = models.CharField(max_length=64)
    is_clean = models.BooleanField()
    issued_at = models.DateTimeField(default=clock.now)

    objects = CertificateQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "number"], name="deletion_certificate_number_unique"),
            models.UniqueConstraint(
                fields=["tenant"], name="deletion_certificate_one_clean", condition=models.Q(is_clean=True)
            ),
        ]

    @property
    def file_name(self) -> str:
        """What a download is called, without its ending."""
        return f"deletion-certificate-{self.tenant.slug}-{self.number}"
