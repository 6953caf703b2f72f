"""The tables of this room, one module per subject."""

from models_registry.models.adapters import Adapter as Adapter
from models_registry.models.adapters import AdapterQuerySet as AdapterQuerySet
from models_registry.models.canaries import Canary as Canary
from models_registry.models.canaries import CanaryInterval as CanaryInterval
from models_registry.models.catalogue import FoundationModel as FoundationModel
from models_registry.models.catalogue import ServingProfile as ServingProfile
from models_registry.models.releases import Release as Release
from models_registry.models.releases import ServedInterval as ServedInterval
from models_registry.models.uploads import AdapterUpload as AdapterUpload
from models_registry.models.versions import AdapterVersion as AdapterVersion
from models_registry.models.versions import AdapterVersionQuerySet as AdapterVersionQuerySet
