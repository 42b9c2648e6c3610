-- Private finding: which ownerships are private, their days, the sealed reports, and households.

ALTER TABLE ownership ADD COLUMN private BOOLEAN DEFAULT 'false' NOT NULL;

CREATE INDEX ix_ownership_private ON ownership (serial) WHERE private;

ALTER TABLE accounts ADD COLUMN household_key BYTEA;

CREATE TABLE day_keys (
    eid BYTEA NOT NULL,
    ownership_no BIGINT NOT NULL,
    day INTEGER NOT NULL,
    public_key BYTEA NOT NULL,
    fetch_hash BYTEA NOT NULL,
    first_report_at TIMESTAMP WITH TIME ZONE,
    last_report_at TIMESTAMP WITH TIME ZONE,
    reports INTEGER DEFAULT '0' NOT NULL,
    CONSTRAINT pk_day_keys PRIMARY KEY (eid),
    CONSTRAINT fk_day_keys_ownership_no FOREIGN KEY(ownership_no) REFERENCES ownership (no)
);

CREATE UNIQUE INDEX ix_day_keys_ownership_no_day ON day_keys (ownership_no, day);

CREATE INDEX ix_day_keys_day ON day_keys (day);

CREATE TABLE sealed_reports (
    eid BYTEA NOT NULL,
    sealed BYTEA NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_sealed_reports PRIMARY KEY (eid, sealed)
);

CREATE INDEX ix_sealed_reports_received_at ON sealed_reports (received_at);

CREATE TABLE handovers (
    no INTEGER GENERATED ALWAYS AS IDENTITY,
    ownership_no BIGINT NOT NULL,
    to_account_no INTEGER NOT NULL,
    sealed BYTEA NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_handovers PRIMARY KEY (no),
    CONSTRAINT fk_handovers_ownership_no FOREIGN KEY(ownership_no) REFERENCES ownership (no),
    CONSTRAINT fk_handovers_to_account_no FOREIGN KEY(to_account_no) REFERENCES accounts (no)
);

CREATE UNIQUE INDEX ix_handovers_ownership_no_to_account_no ON handovers (ownership_no, to_account_no);

CREATE INDEX ix_handovers_to_account_no ON handovers (to_account_no);
