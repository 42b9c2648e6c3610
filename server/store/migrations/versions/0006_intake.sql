-- Intake: webhooks as they came, numbers that are followed, imported files.
-- The reasons stand in server/store/tables/intake.py.

CREATE TABLE imports (
    import_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    file_name TEXT NOT NULL,
    zone TEXT NOT NULL,
    rows INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_imports PRIMARY KEY (import_id)
);

CREATE TABLE webhook_inbox (
    no BIGINT GENERATED ALWAYS AS IDENTITY,
    vendor TEXT NOT NULL,
    event TEXT NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    body BYTEA NOT NULL,
    number TEXT,
    waiting JSONB,
    CONSTRAINT pk_webhook_inbox PRIMARY KEY (no),
    CONSTRAINT uq_webhook_inbox_vendor_event UNIQUE (vendor, event)
);

CREATE INDEX ix_webhook_inbox_waiting ON webhook_inbox (number) WHERE waiting is not null;

CREATE TABLE import_rows (
    import_id TEXT NOT NULL,
    row INTEGER NOT NULL,
    order_number TEXT NOT NULL,
    outcome TEXT NOT NULL,
    code TEXT NOT NULL,
    sentence TEXT NOT NULL,
    CONSTRAINT pk_import_rows PRIMARY KEY (import_id, row),
    CONSTRAINT ck_import_rows_outcome CHECK (outcome in ('added','known','refused')),
    CONSTRAINT fk_import_rows_import_id FOREIGN KEY(import_id) REFERENCES imports (import_id)
);

CREATE TABLE trackers (
    order_number TEXT NOT NULL,
    number TEXT NOT NULL,
    carrier TEXT NOT NULL,
    slot SMALLINT NOT NULL,
    spelled TEXT NOT NULL,
    labelled_at TIMESTAMP WITH TIME ZONE NOT NULL,
    vendor_id TEXT,
    next_poll_at TIMESTAMP WITH TIME ZONE NOT NULL,
    tries SMALLINT DEFAULT '0' NOT NULL,
    error TEXT,
    ended_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_trackers PRIMARY KEY (order_number, number, carrier, slot),
    CONSTRAINT fk_trackers_order_number FOREIGN KEY(order_number) REFERENCES orders (number)
);

CREATE INDEX ix_trackers_due ON trackers (next_poll_at) WHERE ended_at is null;

CREATE INDEX ix_trackers_number ON trackers (number);

-- Labels and numbers that were stated before there were trackers.
INSERT INTO trackers (order_number, number, carrier, slot, spelled, labelled_at, next_poll_at)
SELECT order_number, left(upper(translate(payload->>'number', ' -().', '')), 80), coalesce(payload->>'carrier', ''),
    coalesce((SELECT count(*) FROM slots AS other JOIN slots AS mine ON mine.slot = statements.slots[1]
        WHERE other.order_number = mine.order_number AND (other.line, other.unit) <= (mine.line, mine.unit)), 0),
    payload->>'number', latest, learnt_at
FROM statements WHERE kind IN ('label_printed', 'number_given') ORDER BY no
ON CONFLICT DO NOTHING;
