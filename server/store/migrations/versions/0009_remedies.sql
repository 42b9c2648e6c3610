-- Remedies, runs of them, and the house's own ports. The reasons stand in server/store/tables/remedies.py.

CREATE TABLE remedy_runs (
    no INTEGER GENERATED ALWAYS AS IDENTITY,
    key TEXT NOT NULL,
    action TEXT NOT NULL,
    cause TEXT NOT NULL,
    customer_text TEXT NOT NULL,
    state TEXT NOT NULL,
    made_by TEXT NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    looked_by TEXT[] DEFAULT '{}' NOT NULL,
    look_again_at TIMESTAMP WITH TIME ZONE,
    approved_at TIMESTAMP WITH TIME ZONE,
    not_before TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_remedy_runs PRIMARY KEY (no),
    CONSTRAINT ck_remedy_runs_state CHECK (state in ('previewed','approved','done','withdrawn')),
    CONSTRAINT uq_remedy_runs_key UNIQUE (key)
);

CREATE TABLE remedies (
    no BIGINT GENERATED ALWAYS AS IDENTITY,
    order_number TEXT NOT NULL,
    slots SMALLINT[] NOT NULL,
    action TEXT NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency TEXT NOT NULL,
    key TEXT NOT NULL,
    rules TEXT[] NOT NULL,
    reason TEXT NOT NULL,
    plan JSONB,
    state TEXT NOT NULL,
    asked_by TEXT NOT NULL,
    asked_at TIMESTAMP WITH TIME ZONE NOT NULL,
    granted_by TEXT[] DEFAULT '{}' NOT NULL,
    look_again_at TIMESTAMP WITH TIME ZONE,
    due_at TIMESTAMP WITH TIME ZONE,
    tries SMALLINT DEFAULT '0' NOT NULL,
    error TEXT,
    outcome JSONB,
    ended_at TIMESTAMP WITH TIME ZONE,
    run_no INTEGER,
    CONSTRAINT pk_remedies PRIMARY KEY (no),
    CONSTRAINT ck_remedies_state CHECK (state in ('proposed','granted','booked','done','failed','withdrawn')),
    CONSTRAINT ck_remedies_invoice_is_zero CHECK (amount_minor = 0 or action in ('full_refund','refund_service_fee')),
    CONSTRAINT fk_remedies_order_number FOREIGN KEY(order_number) REFERENCES orders (number),
    CONSTRAINT uq_remedies_key UNIQUE (key),
    CONSTRAINT fk_remedies_run_no FOREIGN KEY(run_no) REFERENCES remedy_runs (no)
);

CREATE INDEX ix_remedies_due ON remedies (due_at) WHERE state in ('granted','booked');

CREATE INDEX ix_remedies_open ON remedies (asked_at) WHERE state not in ('done','withdrawn');

CREATE INDEX ix_remedies_order_number ON remedies (order_number);

CREATE INDEX ix_remedies_run_no ON remedies (run_no);

CREATE TABLE remedy_run_orders (
    run_no INTEGER NOT NULL,
    order_number TEXT NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency TEXT NOT NULL,
    state TEXT NOT NULL,
    why TEXT NOT NULL,
    CONSTRAINT pk_remedy_run_orders PRIMARY KEY (run_no, order_number),
    CONSTRAINT ck_remedy_run_orders_state CHECK (state in ('waiting','taken','left_out')),
    CONSTRAINT fk_remedy_run_orders_run_no FOREIGN KEY(run_no) REFERENCES remedy_runs (no),
    CONSTRAINT fk_remedy_run_orders_order_number FOREIGN KEY(order_number) REFERENCES orders (number)
);

CREATE INDEX ix_remedy_run_orders_waiting ON remedy_run_orders (run_no) WHERE state = 'waiting';

CREATE TABLE house_payments (
    key TEXT NOT NULL,
    order_number TEXT NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency TEXT NOT NULL,
    booked_at TIMESTAMP WITH TIME ZONE NOT NULL,
    paid_at TIMESTAMP WITH TIME ZONE,
    paid_by TEXT,
    CONSTRAINT pk_house_payments PRIMARY KEY (key),
    CONSTRAINT fk_house_payments_order_number FOREIGN KEY(order_number) REFERENCES orders (number)
);

CREATE INDEX ix_house_payments_order_number ON house_payments (order_number);

CREATE INDEX ix_house_payments_unpaid ON house_payments (booked_at) WHERE paid_at is null;

CREATE TABLE house_labels (
    no INTEGER GENERATED ALWAYS AS IDENTITY,
    key TEXT NOT NULL,
    order_number TEXT NOT NULL,
    service TEXT NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    eta TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_house_labels PRIMARY KEY (no),
    CONSTRAINT uq_house_labels_key UNIQUE (key),
    CONSTRAINT fk_house_labels_order_number FOREIGN KEY(order_number) REFERENCES orders (number)
);

CREATE INDEX ix_house_labels_order_number ON house_labels (order_number);

ALTER TABLE weighings ADD COLUMN unasked BOOLEAN DEFAULT 'false' NOT NULL;

CREATE INDEX ix_weighings_unasked ON weighings (order_number) WHERE unasked;
