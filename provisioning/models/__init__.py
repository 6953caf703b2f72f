"""The tables of this room, one module per subject."""

from provisioning.models.accounts import AccountKind as AccountKind
from provisioning.models.accounts import AccountProof as AccountProof
from provisioning.models.accounts import ArtifactCopy as ArtifactCopy
from provisioning.models.accounts import AwsAccount as AwsAccount
from provisioning.models.bulk import BulkItem as BulkItem
from provisioning.models.bulk import BulkOperation as BulkOperation
from provisioning.models.call_buckets import CallBucket as CallBucket
from provisioning.models.certificates import DeletionCertificate as DeletionCertificate
from provisioning.models.changes import TierChange as TierChange
from provisioning.models.configs import BreakerOrder as BreakerOrder
from provisioning.models.configs import ConfigRefusal as ConfigRefusal
from provisioning.models.configs import PublishedConfig as PublishedConfig
from provisioning.models.findings import InventoryFinding as InventoryFinding
from provisioning.models.lines import EulaAcceptance as EulaAcceptance
from provisioning.models.lines import LineChoice as LineChoice
from provisioning.models.lines import RoutingPolicy as RoutingPolicy
from provisioning.models.lines import Scope as Scope
from provisioning.models.lines import ServingLine as ServingLine
from provisioning.models.lines import TierRoute as TierRoute
from provisioning.models.operations import Operation as Operation
from provisioning.models.operations import OperationStep as OperationStep
from provisioning.models.planning import CatalogueRow as CatalogueRow
from provisioning.models.planning import Scenario as Scenario
from provisioning.models.resources import ManagedResource as ManagedResource
from provisioning.models.resources import ResourceInterval as ResourceInterval
