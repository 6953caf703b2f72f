"""Reading the registry. `tenant_ids` has no default: None means that the caller may see all tenants."""

from models_registry.queries.adapters import ADAPTER_STATES as ADAPTER_STATES
from models_registry.queries.adapters import FilterInvalid as FilterInvalid
from models_registry.queries.adapters import adapters_being_checked as adapters_being_checked
from models_registry.queries.adapters import get_adapter as get_adapter
from models_registry.queries.adapters import list_adapters as list_adapters
from models_registry.queries.catalogue import get_foundation_model as get_foundation_model
from models_registry.queries.catalogue import get_serving_profile as get_serving_profile
from models_registry.queries.catalogue import list_foundation_models as list_foundation_models
from models_registry.queries.releases import WantedRelease as WantedRelease
from models_registry.queries.releases import get_release as get_release
from models_registry.queries.releases import list_releases as list_releases
from models_registry.queries.releases import newest_release as newest_release
from models_registry.queries.releases import previous_served as previous_served
from models_registry.queries.releases import served_at as served_at
from models_registry.queries.releases import timeline as timeline
from models_registry.queries.releases import wanted_releases as wanted_releases
from models_registry.queries.uploads import get_upload as get_upload
from models_registry.queries.uploads import list_open_uploads as list_open_uploads
from models_registry.queries.versions import get_version as get_version
from models_registry.queries.versions import list_versions as list_versions
from models_registry.queries.versions import mirrored_versions as mirrored_versions
from models_registry.queries.versions import retiring as retiring
from models_registry.queries.versions import waiting_for_approval as waiting_for_approval
