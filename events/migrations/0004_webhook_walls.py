"""What a delivery carries to whom never changes, and one tenant's event never goes to another tenant's endpoint."""

from django.db import migrations

WALLS = """
CREATE FUNCTION events_webhookdelivery_wall() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    happened_to bigint;
    belongs_to bigint;
BEGIN
    SELECT tenant_pk INTO STRICT happened_to FROM events_event WHERE id = NEW.event_id;
    SELECT tenant_pk INTO STRICT belongs_to FROM events_webhookendpoint WHERE id = NEW.endpoint_id;
    IF NEW.tenant_pk IS DISTINCT FROM happened_to
       OR (belongs_to IS NOT NULL AND belongs_to IS DISTINCT FROM happened_to) THEN
        RAISE EXCEPTION 'webhook endpoint % may not hear of event %', NEW.endpoint_id, NEW.event_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER events_webhookdelivery_wall BEFORE INSERT ON events_webhookdelivery
    FOR EACH ROW EXECUTE FUNCTION events_webhookdelivery_wall();

CREATE FUNCTION events_webhook_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% %: what it carries and to whom never changes', TG_TABLE_NAME, OLD.id
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER events_webhookdelivery_fixed BEFORE UPDATE ON events_webhookdelivery
    FOR EACH ROW WHEN (ROW(OLD.event_id, OLD.endpoint_id, OLD.tenant_pk, OLD.body, OLD.public_id)
        IS DISTINCT FROM ROW(NEW.event_id, NEW.endpoint_id, NEW.tenant_pk, NEW.body, NEW.public_id))
    EXECUTE FUNCTION events_webhook_fixed();
CREATE TRIGGER events_webhookendpoint_fixed BEFORE UPDATE ON events_webhookendpoint
    FOR EACH ROW WHEN (ROW(OLD.tenant_pk, OLD.tenant_ref, OLD.public_id)
        IS DISTINCT FROM ROW(NEW.tenant_pk, NEW.tenant_ref, NEW.public_id))
    EXECUTE FUNCTION events_webhook_fixed();
"""

NO_WALLS = """
DROP TRIGGER events_webhookendpoint_fixed ON events_webhookendpoint;
DROP TRIGGER events_webhookdelivery_fixed ON events_webhookdelivery;
DROP FUNCTION events_webhook_fixed();
DROP TRIGGER events_webhookdelivery_wall ON events_webhookdelivery;
DROP FUNCTION events_webhookdelivery_wall();
"""


class Migration(migrations.Migration):
    dependencies = [("events", "0003_webhooks")]

    operations = [migrations.RunSQL(WALLS, NO_WALLS)]
