-- What people and machines are busy with: remedies, imports, inboxes, channels, cohorts.
-- The reasons stand in server/store/tables/work.py.

CREATE TABLE carrier_inbox (
    no BIGINT GENERATED ALWAYS AS IDENTITY,
    vendor TEXT NOT NULL,
    event TEXT NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    body BYTEA NOT NULL,
    state TEXT NOT NULL,
    error TEXT,
    CONSTRAINT pk_carrier_inbox PRIMARY KEY (no),
    CONSTRAINT uq_carrier_inbox_vendor_event UNIQUE (vendor, event),
    CONSTRAINT ck_carrier_inbox_state CHECK (state in ('taken','unmatched','refused'))
);

CREATE TABLE channel_reports (
    no BIGINT GENERATED ALWAYS AS IDENTITY,
    channel TEXT NOT NULL,
    works BOOLEAN NOT NULL,
    why TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    reported_by TEXT NOT NULL,
    CONSTRAINT pk_channel_reports PRIMARY KEY (no)
);

CREATE INDEX ix_channel_reports_channel_at ON channel_reports (channel, at);

CREATE TABLE cohorts (
    no INTEGER GENERATED ALWAYS AS IDENTITY,
    rule TEXT NOT NULL,
    cause_kind TEXT NOT NULL,
    cause TEXT NOT NULL,
    orders TEXT[] NOT NULL,
    share_percent INTEGER NOT NULL,
    usual_percent INTEGER NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_cohorts PRIMARY KEY (no)
);

CREATE UNIQUE INDEX uq_cohorts_living ON cohorts (rule, cause_kind, cause) WHERE ended_at is null;

CREATE TABLE imports (
    import_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    file_name TEXT NOT NULL,
    sha256 BYTEA NOT NULL,
    rows INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_imports PRIMARY KEY (import_id)
);

CREATE TABLE remedy_runs (
    no INTEGER GENERATED ALWAYS AS IDENTITY,
    action TEXT NOT NULL,
    cause TEXT NOT NULL,
    customer_text TEXT NOT NULL,
    state TEXT NOT NULL,
    made_by TEXT NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    approved_by TEXT,
    approved_at TIMESTAMP WITH TIME ZONE,
    finished_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_remedy_runs PRIMARY KEY (no),
    CONSTRAINT ck_remedy_runs_state CHECK (state in ('previewed','approved','running','done'))
);

CREATE TABLE import_rows (
    import_id TEXT NOT NULL,
    row INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    code TEXT,
    detail TEXT,
    CONSTRAINT pk_import_rows PRIMARY KEY (import_id, row),
    CONSTRAINT fk_import_rows_import_id FOREIGN KEY(import_id) REFERENCES imports (import_id)
);

CREATE TABLE house_labels (
    key TEXT NOT NULL,
    order_number TEXT NOT NULL,
    carrier TEXT NOT NULL,
    service TEXT NOT NULL,
    number TEXT NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    eta TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_house_labels PRIMARY KEY (key),
    CONSTRAINT fk_house_labels_order_number FOREIGN KEY(order_number) REFERENCES orders (number)
);

CREATE INDEX ix_house_labels_order_number ON house_labels (order_number);

CREATE TABLE house_payments (
    key TEXT NOT NULL,
    order_number TEXT NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency TEXT NOT NULL,
    paid_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_house_payments PRIMARY KEY (key),
    CONSTRAINT fk_house_payments_order_number FOREIGN KEY(order_number) REFERENCES orders (number)
);

CREATE INDEX ix_house_payments_order_number ON house_payments (order_number);

CREATE TABLE mail_in (
    no BIGINT GENERATED ALWAYS AS IDENTITY,
    message_id TEXT NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    sender BYTEA NOT NULL,
    subject BYTEA NOT NULL,
    body BYTEA NOT NULL,
    order_number TEXT,
    settled_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_mail_in PRIMARY KEY (no),
    CONSTRAINT uq_mail_in_message_id UNIQUE (message_id),
    CONSTRAINT fk_mail_in_order_number FOREIGN KEY(order_number) REFERENCES orders (number)
);

CREATE INDEX ix_mail_in_order_number ON mail_in (order_number);

CREATE TABLE remedies (
    no BIGINT GENERATED ALWAYS AS IDENTITY,
    order_number TEXT NOT NULL,
    slot SMALLINT,
    action TEXT NOT NULL,
    amount_minor BIGINT DEFAULT '0' NOT NULL,
    currency TEXT DEFAULT '' NOT NULL,
    key TEXT NOT NULL,
    rule TEXT,
    reason TEXT NOT NULL,
    state TEXT NOT NULL,
    asked_by TEXT NOT NULL,
    asked_at TIMESTAMP WITH TIME ZONE NOT NULL,
    granted_by TEXT[] DEFAULT '{}' NOT NULL,
    granted_at TIMESTAMP WITH TIME ZONE,
    not_before TIMESTAMP WITH TIME ZONE,
    done_at TIMESTAMP WITH TIME ZONE,
    outcome JSONB,
    tries SMALLINT DEFAULT '0' NOT NULL,
    error TEXT,
    run_no INTEGER,
    CONSTRAINT pk_remedies PRIMARY KEY (no),
    CONSTRAINT ck_remedies_state CHECK (state in ('proposed','granted','done','failed','withdrawn')),
    CONSTRAINT fk_remedies_order_number FOREIGN KEY(order_number) REFERENCES orders (number),
    CONSTRAINT uq_remedies_key UNIQUE (key),
    CONSTRAINT fk_remedies_run_no FOREIGN KEY(run_no) REFERENCES remedy_runs (no)
);

CREATE INDEX ix_remedies_order_number ON remedies (order_number);

CREATE INDEX ix_remedies_run_no ON remedies (run_no);

CREATE INDEX ix_remedies_waiting ON remedies (not_before) WHERE state = 'granted';

CREATE TABLE trackers (
    carrier TEXT NOT NULL,
    number TEXT NOT NULL,
    order_number TEXT NOT NULL,
    vendor TEXT NOT NULL,
    vendor_id TEXT,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    next_poll_at TIMESTAMP WITH TIME ZONE NOT NULL,
    polled_at TIMESTAMP WITH TIME ZONE,
    tries SMALLINT DEFAULT '0' NOT NULL,
    error TEXT,
    ended_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_trackers PRIMARY KEY (carrier, number, order_number),
    CONSTRAINT fk_trackers_order_number FOREIGN KEY(order_number) REFERENCES orders (number)
);

CREATE INDEX ix_trackers_due ON trackers (next_poll_at) WHERE ended_at is null;
