"""The Celery app, its queues, and every periodic job on one screen.

Database rows are the queue and messages only ring the bell: losing the broker loses seconds, not work. So a task may
run twice or late, retries are rows (`look_again_at`), and a job that beat forgets is found by the next sweep.
"""

import os

from celery import Celery

from controlplane.env import environment

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
ENV = environment()

app = Celery("controlplane")
app.set_default()  # for every thread, not only for the one that imports this

# Queues by patience: one tenant's thousand resources must not delay another's invoice.
ROUTES = {
    "events.tasks.*": {"queue": "prompt"},
    "accounts.tasks.*": {"queue": "prompt"},
    "models_registry.tasks.*": {"queue": "prompt"},
    "provisioning.tasks.*": {"queue": "reconcile"},
    "metering.tasks.*": {"queue": "metering"},
    "billing.tasks.*": {"queue": "billing"},
}

SWEEP = ENV.sweep_seconds
BEAT = {
    "provisioning: resources that are due": ("provisioning.tasks.reconcile_due", SWEEP),
    "provisioning: tenants on their way": ("provisioning.tasks.sweep_unsettled_tenants", SWEEP),
    "provisioning: drift, and warm copies whose time is over": ("provisioning.tasks.sweep_served_tenants", 40 * SWEEP),
    "provisioning: the mirror in SageMaker's model registry": ("provisioning.tasks.sweep_registries", 40 * SWEEP),
    "provisioning: inventory of AWS": ("provisioning.tasks.keep_inventory", 40 * SWEEP),
    "provisioning: releases in steps": ("provisioning.tasks.watch_canaries", 2 * SWEEP),
    "provisioning: bulk operations": ("provisioning.tasks.advance_bulk_operations", SWEEP),
    "provisioning: deletion certificates": ("provisioning.tasks.certify_departed", 40 * SWEEP),
    "provisioning: token limits that fill up": ("provisioning.tasks.watch_limits", 4 * SWEEP),
    "metering: hours that are due to be read": ("metering.tasks.collect_usage", 4 * SWEEP),
    "metering: reported events, into their hours": ("metering.tasks.fold_events", 4 * SWEEP),
    "metering: months ahead, sums after changes": ("metering.tasks.keep_rollups", 4 * SWEEP),
    "metering: gaps and alarms": ("metering.tasks.watch", 20 * SWEEP),
    "metering: months whose time is over": ("metering.tasks.drop_old_months", 240 * SWEEP),
    "billing: months that are over, drafts whose grace has passed": ("billing.tasks.close_due_periods", 20 * SWEEP),
    "billing: notes over usage that came late": ("billing.tasks.issue_late_notes", 80 * SWEEP),
    "billing: prepaid credit whose time is over": ("billing.tasks.expire_credits", 80 * SWEEP),
    "billing: last invoices of tenants that leave": ("billing.tasks.issue_final_invoices", 4 * SWEEP),
    "billing: exports that wait, and those whose time is over": ("billing.tasks.make_exports", 4 * SWEEP),
    "events: dispatch what a lost message left behind": ("events.tasks.dispatch_events", SWEEP),
    "events: webhooks that are due": ("events.tasks.deliver_webhooks", SWEEP),
    "events: old deliveries, endpoints of departed tenants": ("events.tasks.tidy_webhooks", 40 * SWEEP),
    "accounts: keys of leaving tenants": ("accounts.tasks.revoke_departed_access", SWEEP),
    "models_registry: uploads that wait for the gate": ("models_registry.tasks.validate_undecided_versions", SWEEP),
    "models_registry: uploads that never arrived": ("models_registry.tasks.sweep_abandoned_uploads", 4 * SWEEP),
    "models_registry: what is in quarantine for no upload": ("models_registry.tasks.sweep_orphans", 40 * SWEEP),
    "models_registry: imports that wait to be copied": ("models_registry.tasks.copy_waiting_imports", 4 * SWEEP),
    "models_registry: versions that retire": ("models_registry.tasks.remind_of_retirements", 20 * SWEEP),
    "models_registry: artifacts of departed tenants": ("models_registry.tasks.erase_departed_artifacts", SWEEP),
}

app.conf.update(
    broker_url=ENV.broker_url,
    task_routes=ROUTES,
    task_default_queue="prompt",
    # A bell that nobody heard within two intervals is worth nothing: the next one rings for the same work.
    beat_schedule={
        name: {"task": task, "schedule": seconds, "options": {"expires": 2 * seconds}}
        for name, (task, seconds) in BEAT.items()
    },
    timezone="UTC",
    # A killed worker's message comes back; doing the work twice is harmless because services are idempotent.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=True,
    # Below the lease, so that a task is dead before anybody may take its rows over.
    task_time_limit=ENV.lease_seconds * 5 // 6,
    task_soft_time_limit=None,
    worker_max_tasks_per_child=500,
    task_ignore_result=True,
    result_backend=None,
    task_serializer="json",
    accept_content=["json"],
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    # Never block a request on the broker: the sweep rings again.
    task_publish_retry_policy={"max_retries": 2, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.5},
    broker_transport_options={
        "visibility_timeout": 300,
        "socket_timeout": 30,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 25,
    },
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
)
app.autodiscover_tasks()
