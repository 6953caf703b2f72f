"""What every row of ours has: a bigint key inside, a public id outside, and when it was made."""

from typing import Any, ClassVar

from django.db import models

from core import clock, lookups  # noqa: F401  (it registers a lookup)
from core.ids import new_id


class PublicModel(models.Model):
    """A row that people and programs may name. Subclasses set `PREFIX`, the first part of the public id."""

    PREFIX: ClassVar[str]

    public_id = models.CharField(max_length=40, unique=True, editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        abstract = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Not by its attribute: that would fetch a deferred one, a query per row.
        if self.__dict__.get("public_id") == "":
            self.public_id = new_id(self.PREFIX)

    def __str__(self) -> str:
        return self.public_id
