"""What must always hold of what we made in AWS, as far as our own books can tell; `manage.py inventory` asks AWS."""

from core.verification import Check, sql_check

CHECKS: tuple[Check, ...] = (
    sql_check(
        "resource_names",
        "A name in AWS is given once in an account and region, and never again.",
        """SELECT kind || ' ' || name || ': ' || count(*) FROM provisioning_managedresource
            GROUP BY account, region, kind, name HAVING count(*) > 1""",
    ),
    sql_check(
        "departed_own_nothing",
        "A tenant that has left owns nothing in AWS.",
        """SELECT r.public_id || ' of ' || t.public_id || ' is ' || r.phase FROM provisioning_managedresource r
            JOIN tenants_tenant t ON t.id = r.tenant_id
            WHERE t.state = 'offboarded' AND r.phase NOT IN ('gone', 'wished')""",
    ),
    sql_check(
        "service_time",
        "What is gone has no open time in service.",
        """SELECT r.public_id FROM provisioning_managedresource r JOIN provisioning_resourceinterval i
            ON i.resource_id = r.id WHERE r.phase = 'gone' AND upper_inf(i.during)""",
    ),
    sql_check(
        "leases_end",
        "No lease is longer than any lease may be.",
        """SELECT public_id || ' until ' || lease_until FROM provisioning_managedresource
            WHERE lease_until > now() + interval '1 hour'""",
    ),
    sql_check(
        "resources_of_their_tenant",
        "A resource serves an adapter of its own tenant.",
        """SELECT r.public_id FROM provisioning_managedresource r
            JOIN models_registry_adapterversion v ON v.id = r.adapter_version_id
            JOIN models_registry_adapter a ON a.id = v.adapter_id
            WHERE r.tenant_id IS NOT NULL AND r.tenant_id <> a.tenant_id""",
    ),
)
