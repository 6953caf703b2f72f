"""Doorbells of this room."""

from celery import shared_task

from models_registry.services import artifacts, imports, multipart, retirement, uploads, validation

# Longer than any lease: the largest upload takes minutes, and two workers that judge one upload decide it once.
LONGEST_VALIDATION_SECONDS = 900


@shared_task(acks_late=True, time_limit=LONGEST_VALIDATION_SECONDS)
def validate_version(*, version_id: int, **_: object) -> None:
    """Judge one upload."""
    validation.validate_version(version_id=version_id)


@shared_task(acks_late=True, time_limit=LONGEST_VALIDATION_SECONDS)
def validate_undecided_versions(**_: object) -> None:
    """Judge uploads whose bell was lost or whose worker died."""
    validation.validate_undecided_versions()


@shared_task(acks_late=True)
def sweep_abandoned_uploads(**_: object) -> None:
    """Forget uploads that never arrived, and empty quarantine behind those that are decided."""
    uploads.sweep_abandoned_uploads()


@shared_task(acks_late=True)
def erase_departed_artifacts(**_: object) -> None:
    """Erase the artifacts of tenants whose departure waits for nothing else of ours."""
    artifacts.erase_departed_artifacts()


@shared_task(acks_late=True)
def sweep_orphans(**_: object) -> None:
    """Empty quarantine of parts and files that belong to no upload."""
    multipart.sweep_orphans()


@shared_task(acks_late=True, time_limit=imports.LONGEST_COPY_SECONDS)
def copy_import(*, version_id: int, **_: object) -> None:
    """Copy one import into quarantine."""
    imports.copy_import(version_id=version_id)


@shared_task(acks_late=True, time_limit=imports.LONGEST_COPY_SECONDS)
def copy_waiting_imports(**_: object) -> None:
    """Copy imports whose bell was lost or whose worker died."""
    imports.copy_waiting_imports()


@shared_task(acks_late=True)
def remind_of_retirements(**_: object) -> None:
    """Tell of versions that serve and retire soon, or should have."""
    retirement.remind_of_retirements()
