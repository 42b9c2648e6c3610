-- Lists of open findings and promises, derived from weighings. The reasons stand in server/store/tables/lists.py.

CREATE TABLE open_findings (
    no BIGINT GENERATED ALWAYS AS IDENTITY,
    order_number TEXT NOT NULL,
    rule TEXT NOT NULL,
    slot SMALLINT,
    subject TEXT NOT NULL,
    urgency SMALLINT NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_open_findings PRIMARY KEY (no),
    CONSTRAINT fk_open_findings_order_number FOREIGN KEY (order_number) REFERENCES orders (number)
);

CREATE INDEX ix_open_findings_order_number ON open_findings (order_number);

CREATE INDEX ix_open_findings_urgency_since_no ON open_findings (urgency, since, no);

CREATE INDEX ix_open_findings_rule_urgency_since_no ON open_findings (rule, urgency, since, no);

CREATE TABLE open_promises (
    no BIGINT GENERATED ALWAYS AS IDENTITY,
    order_number TEXT NOT NULL,
    promise BIGINT NOT NULL,
    slot SMALLINT,
    what TEXT NOT NULL,
    due TIMESTAMP WITH TIME ZONE NOT NULL,
    by TEXT NOT NULL,
    CONSTRAINT pk_open_promises PRIMARY KEY (no),
    CONSTRAINT fk_open_promises_order_number FOREIGN KEY (order_number) REFERENCES orders (number)
);

CREATE INDEX ix_open_promises_order_number ON open_promises (order_number);

CREATE INDEX ix_open_promises_due_no ON open_promises (due, no);

-- Whoever calls says a name or a telephone number.
CREATE INDEX ix_orders_phone_digits ON orders (regexp_replace(phone, '\D', '', 'g'));

CREATE INDEX ix_orders_name ON orders (lower(customer_name));

-- The lists are filled by weighing each order once more.
UPDATE weighings SET stale = true WHERE NOT stale;
