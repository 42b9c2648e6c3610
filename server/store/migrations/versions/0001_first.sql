-- The tables of version 0001. Written by tools/migration; the reasons stand in server/store/tables/.

CREATE TABLE accounts (
    no INTEGER GENERATED ALWAYS AS IDENTITY,
    email TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    password_hash TEXT,
    zone TEXT DEFAULT 'UTC' NOT NULL,
    custodial_key BYTEA,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    disabled_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_accounts PRIMARY KEY (no),
    CONSTRAINT ck_accounts_role CHECK (role in ('owner','agent','lead','supervisor','finance','operator')),
    CONSTRAINT uq_accounts_email UNIQUE (email)
);

CREATE TABLE factory_keys (
    public_key BYTEA NOT NULL,
    name TEXT NOT NULL,
    added_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_factory_keys PRIMARY KEY (public_key)
);

CREATE TABLE lots (
    no INTEGER GENERATED ALWAYS AS IDENTITY,
    lot TEXT NOT NULL,
    k_lot BYTEA NOT NULL,
    imported_at TIMESTAMP WITH TIME ZONE NOT NULL,
    retired_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_lots PRIMARY KEY (no),
    CONSTRAINT uq_lots_lot UNIQUE (lot)
);

CREATE TABLE manifests (
    manifest TEXT NOT NULL,
    sha256 BYTEA NOT NULL,
    lot TEXT NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    imported_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_manifests PRIMARY KEY (manifest)
);

CREATE TABLE places (
    no INTEGER GENERATED ALWAYS AS IDENTITY,
    lat_e7 INTEGER NOT NULL,
    lon_e7 INTEGER NOT NULL,
    accuracy_m INTEGER NOT NULL,
    source SMALLINT NOT NULL,
    CONSTRAINT pk_places PRIMARY KEY (no),
    CONSTRAINT uq_places_lat_e7_lon_e7_accuracy_m_source UNIQUE (lat_e7, lon_e7, accuracy_m, source)
);

CREATE TABLE secrets (
    name TEXT NOT NULL,
    value BYTEA NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_secrets PRIMARY KEY (name)
);

CREATE TABLE sightings (
    serial BIGINT NOT NULL,
    heard_at TIMESTAMP WITH TIME ZONE NOT NULL,
    first_heard_at TIMESTAMP WITH TIME ZONE NOT NULL,
    batch_no BIGINT NOT NULL,
    uptime_s BIGINT NOT NULL,
    boot INTEGER NOT NULL,
    adverts INTEGER NOT NULL,
    status SMALLINT NOT NULL,
    rssi_max_dbm SMALLINT NOT NULL,
    rssi_mean_dbm SMALLINT NOT NULL
);

CREATE INDEX ix_sightings_serial_heard_at ON sightings (serial, heard_at);

CREATE TABLE sign_in_failures (
    who TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL
);

CREATE INDEX ix_sign_in_failures_who_at ON sign_in_failures (who, at);

CREATE TABLE sites (
    site TEXT NOT NULL,
    name TEXT NOT NULL,
    zone TEXT NOT NULL,
    lat_e7 INTEGER NOT NULL,
    lon_e7 INTEGER NOT NULL,
    calendar JSONB NOT NULL,
    CONSTRAINT pk_sites PRIMARY KEY (site)
);

CREATE TABLE unresolved_frames (
    batch_no BIGINT NOT NULL,
    heard_at TIMESTAMP WITH TIME ZONE NOT NULL,
    first_heard_at TIMESTAMP WITH TIME ZONE NOT NULL,
    adverts INTEGER NOT NULL,
    rssi_max_dbm SMALLINT NOT NULL,
    rssi_mean_dbm SMALLINT NOT NULL,
    frame BYTEA NOT NULL,
    reason TEXT NOT NULL
);

CREATE INDEX ix_unresolved_frames_heard_at ON unresolved_frames (heard_at);

CREATE TABLE acts (
    no BIGINT GENERATED ALWAYS AS IDENTITY,
    kind TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    learnt_at TIMESTAMP WITH TIME ZONE NOT NULL,
    account_no INTEGER,
    actor TEXT NOT NULL,
    serial BIGINT,
    order_number TEXT,
    payload JSONB NOT NULL,
    corrects BIGINT,
    CONSTRAINT pk_acts PRIMARY KEY (no),
    CONSTRAINT fk_acts_account_no FOREIGN KEY(account_no) REFERENCES accounts (no),
    CONSTRAINT fk_acts_corrects FOREIGN KEY(corrects) REFERENCES acts (no)
);

CREATE INDEX ix_acts_order_number ON acts (order_number);

CREATE INDEX ix_acts_serial ON acts (serial);

CREATE TABLE api_tokens (
    no INTEGER GENERATED ALWAYS AS IDENTITY,
    account_no INTEGER NOT NULL,
    name TEXT NOT NULL,
    token_hash BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    last_used_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_api_tokens PRIMARY KEY (no),
    CONSTRAINT fk_api_tokens_account_no FOREIGN KEY(account_no) REFERENCES accounts (no),
    CONSTRAINT uq_api_tokens_token_hash UNIQUE (token_hash)
);

CREATE INDEX ix_api_tokens_account_no ON api_tokens (account_no);

CREATE TABLE audit (
    no BIGINT GENERATED ALWAYS AS IDENTITY,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    account_no INTEGER,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail JSONB,
    CONSTRAINT pk_audit PRIMARY KEY (no),
    CONSTRAINT fk_audit_account_no FOREIGN KEY(account_no) REFERENCES accounts (no)
);

CREATE INDEX ix_audit_at ON audit (at);

CREATE INDEX ix_audit_subject_at ON audit (subject, at);

CREATE TABLE channels (
    no INTEGER GENERATED ALWAYS AS IDENTITY,
    account_no INTEGER NOT NULL,
    kind TEXT NOT NULL,
    address BYTEA NOT NULL,
    secret BYTEA,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    removed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_channels PRIMARY KEY (no),
    CONSTRAINT ck_channels_kind CHECK (kind in ('email','webhook')),
    CONSTRAINT fk_channels_account_no FOREIGN KEY(account_no) REFERENCES accounts (no)
);

CREATE INDEX ix_channels_account_no ON channels (account_no);

CREATE TABLE claims (
    claim TEXT NOT NULL,
    account_no INTEGER NOT NULL,
    serial BIGINT NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_claims PRIMARY KEY (claim),
    CONSTRAINT fk_claims_account_no FOREIGN KEY(account_no) REFERENCES accounts (no)
);

CREATE INDEX ix_claims_account_no ON claims (account_no);

CREATE INDEX ix_claims_serial ON claims (serial);

CREATE TABLE gateways (
    no INTEGER GENERATED ALWAYS AS IDENTITY,
    gateway TEXT NOT NULL,
    gateway_class SMALLINT NOT NULL,
    owner TEXT NOT NULL,
    site TEXT,
    lat_e7 INTEGER,
    lon_e7 INTEGER,
    accuracy_m INTEGER,
    public_key BYTEA,
    mqtt_password_hash TEXT,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    enrolled_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_gateways PRIMARY KEY (no),
    CONSTRAINT uq_gateways_gateway UNIQUE (gateway),
    CONSTRAINT fk_gateways_site FOREIGN KEY(site) REFERENCES sites (site)
);

CREATE TABLE lost_marks (
    no BIGINT GENERATED ALWAYS AS IDENTITY,
    serial BIGINT NOT NULL,
    account_no INTEGER NOT NULL,
    message TEXT NOT NULL,
    contact TEXT NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    until TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_lost_marks PRIMARY KEY (no),
    CONSTRAINT fk_lost_marks_account_no FOREIGN KEY(account_no) REFERENCES accounts (no)
);

CREATE UNIQUE INDEX uq_lost_marks_living ON lost_marks (serial) WHERE until is null;

CREATE TABLE orders (
    number TEXT NOT NULL,
    email TEXT NOT NULL,
    customer_name TEXT NOT NULL,
    phone TEXT,
    ship_to JSONB NOT NULL,
    placed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    zone TEXT NOT NULL,
    site TEXT,
    profile TEXT NOT NULL,
    source TEXT NOT NULL,
    learnt_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_orders PRIMARY KEY (number),
    CONSTRAINT fk_orders_site FOREIGN KEY(site) REFERENCES sites (site)
);

CREATE INDEX ix_orders_email ON orders (email);

CREATE TABLE password_resets (
    token_hash BYTEA NOT NULL,
    account_no INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_password_resets PRIMARY KEY (token_hash),
    CONSTRAINT fk_password_resets_account_no FOREIGN KEY(account_no) REFERENCES accounts (no)
);

CREATE TABLE sessions (
    token_hash BYTEA NOT NULL,
    account_no INTEGER NOT NULL,
    csrf TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_sessions PRIMARY KEY (token_hash),
    CONSTRAINT fk_sessions_account_no FOREIGN KEY(account_no) REFERENCES accounts (no)
);

CREATE INDEX ix_sessions_account_no ON sessions (account_no);

CREATE TABLE units (
    serial BIGINT NOT NULL,
    lot TEXT NOT NULL,
    model TEXT NOT NULL,
    beacon_mode TEXT NOT NULL,
    public_key BYTEA NOT NULL,
    claim_hash BYTEA NOT NULL,
    found_code TEXT NOT NULL,
    manifest TEXT NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_units PRIMARY KEY (serial),
    CONSTRAINT ck_units_beacon_mode CHECK (beacon_mode in ('transit_beacon','silent')),
    CONSTRAINT uq_units_claim_hash UNIQUE (claim_hash),
    CONSTRAINT uq_units_found_code UNIQUE (found_code),
    CONSTRAINT fk_units_manifest FOREIGN KEY(manifest) REFERENCES manifests (manifest)
);

CREATE TABLE batches (
    no BIGINT GENERATED ALWAYS AS IDENTITY,
    gateway_no INTEGER NOT NULL,
    outbox_id BYTEA NOT NULL,
    sequence BIGINT NOT NULL,
    body_sha256 BYTEA NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    sent_at TIMESTAMP WITH TIME ZONE NOT NULL,
    gateway_class SMALLINT NOT NULL,
    clock SMALLINT NOT NULL,
    place_no INTEGER,
    outcome SMALLINT NOT NULL,
    reason TEXT,
    rows INTEGER NOT NULL,
    unresolved INTEGER NOT NULL,
    dropped JSONB,
    CONSTRAINT pk_batches PRIMARY KEY (no),
    CONSTRAINT uq_batches_gateway_no_outbox_id_sequence UNIQUE (gateway_no, outbox_id, sequence),
    CONSTRAINT fk_batches_gateway_no FOREIGN KEY(gateway_no) REFERENCES gateways (no),
    CONSTRAINT fk_batches_place_no FOREIGN KEY(place_no) REFERENCES places (no)
);

CREATE INDEX ix_batches_gateway_no_received_at ON batches (gateway_no, received_at);

CREATE TABLE challenges (
    challenge BYTEA NOT NULL,
    claim TEXT NOT NULL,
    owner_hash BYTEA NOT NULL,
    owner_public_key BYTEA NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    answer BYTEA,
    answered_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_challenges PRIMARY KEY (challenge),
    CONSTRAINT fk_challenges_claim FOREIGN KEY(claim) REFERENCES claims (claim)
);

CREATE INDEX ix_challenges_claim ON challenges (claim);

CREATE TABLE enrolment_tokens (
    secret_hash BYTEA NOT NULL,
    gateway_no INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_enrolment_tokens PRIMARY KEY (secret_hash),
    CONSTRAINT fk_enrolment_tokens_gateway_no FOREIGN KEY(gateway_no) REFERENCES gateways (no)
);

CREATE TABLE gateway_states (
    gateway_no INTEGER NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    state JSONB NOT NULL,
    CONSTRAINT pk_gateway_states PRIMARY KEY (gateway_no),
    CONSTRAINT fk_gateway_states_gateway_no FOREIGN KEY(gateway_no) REFERENCES gateways (no)
);

CREATE TABLE notices (
    no BIGINT GENERATED ALWAYS AS IDENTITY,
    account_no INTEGER,
    channel_no INTEGER,
    kind TEXT NOT NULL,
    once TEXT NOT NULL,
    payload JSONB NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    tries SMALLINT DEFAULT '0' NOT NULL,
    last_error TEXT,
    sent_at TIMESTAMP WITH TIME ZONE,
    given_up_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_notices PRIMARY KEY (no),
    CONSTRAINT fk_notices_account_no FOREIGN KEY(account_no) REFERENCES accounts (no),
    CONSTRAINT fk_notices_channel_no FOREIGN KEY(channel_no) REFERENCES channels (no),
    CONSTRAINT uq_notices_once UNIQUE (once)
);

CREATE INDEX ix_notices_due ON notices (due_at) WHERE sent_at is null and given_up_at is null;

CREATE TABLE order_links (
    token_hash BYTEA NOT NULL,
    order_number TEXT NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_order_links PRIMARY KEY (token_hash),
    CONSTRAINT fk_order_links_order_number FOREIGN KEY(order_number) REFERENCES orders (number)
);

CREATE INDEX ix_order_links_order_number ON order_links (order_number);

CREATE TABLE outboxes (
    gateway_no INTEGER NOT NULL,
    outbox_id BYTEA NOT NULL,
    settled_up_to BIGINT NOT NULL,
    CONSTRAINT pk_outboxes PRIMARY KEY (gateway_no, outbox_id),
    CONSTRAINT fk_outboxes_gateway_no FOREIGN KEY(gateway_no) REFERENCES gateways (no)
);

CREATE TABLE ownership (
    no BIGINT GENERATED ALWAYS AS IDENTITY,
    serial BIGINT NOT NULL,
    account_no INTEGER NOT NULL,
    name TEXT NOT NULL,
    owner_hash BYTEA NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    until TIMESTAMP WITH TIME ZONE,
    by_act BIGINT NOT NULL,
    CONSTRAINT pk_ownership PRIMARY KEY (no),
    CONSTRAINT fk_ownership_account_no FOREIGN KEY(account_no) REFERENCES accounts (no),
    CONSTRAINT fk_ownership_by_act FOREIGN KEY(by_act) REFERENCES acts (no)
);

CREATE INDEX ix_ownership_account_no ON ownership (account_no);

CREATE UNIQUE INDEX uq_ownership_living ON ownership (serial) WHERE until is null;

CREATE TABLE slots (
    slot TEXT NOT NULL,
    order_number TEXT NOT NULL,
    line SMALLINT NOT NULL,
    unit SMALLINT NOT NULL,
    sku TEXT NOT NULL,
    title TEXT NOT NULL,
    personalisation BYTEA,
    lead_time_bd SMALLINT,
    ship_by DATE,
    CONSTRAINT pk_slots PRIMARY KEY (slot),
    CONSTRAINT fk_slots_order_number FOREIGN KEY(order_number) REFERENCES orders (number)
);

CREATE INDEX ix_slots_order_number ON slots (order_number);

CREATE TABLE statements (
    no BIGINT GENERATED ALWAYS AS IDENTITY,
    order_number TEXT NOT NULL,
    slots TEXT[] NOT NULL,
    kind TEXT NOT NULL,
    said_at TIMESTAMP WITH TIME ZONE NOT NULL,
    earliest TIMESTAMP WITH TIME ZONE,
    latest TIMESTAMP WITH TIME ZONE NOT NULL,
    zone TEXT NOT NULL,
    by TEXT NOT NULL,
    source TEXT NOT NULL,
    via TEXT NOT NULL,
    payload JSONB NOT NULL,
    corrects BIGINT,
    correction TEXT,
    natural_key TEXT NOT NULL,
    learnt_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_statements PRIMARY KEY (no),
    CONSTRAINT fk_statements_order_number FOREIGN KEY(order_number) REFERENCES orders (number),
    CONSTRAINT fk_statements_corrects FOREIGN KEY(corrects) REFERENCES statements (no),
    CONSTRAINT uq_statements_natural_key UNIQUE (natural_key)
);

CREATE INDEX ix_statements_order_number ON statements (order_number);

CREATE INDEX ix_statements_serial ON statements (((payload->>'serial')::bigint)) WHERE kind='serial_bound';

CREATE INDEX ix_statements_tracking ON statements ((payload->>'number')) WHERE payload ? 'number';

CREATE TABLE weighings (
    order_number TEXT NOT NULL,
    as_of TIMESTAMP WITH TIME ZONE NOT NULL,
    policy TEXT NOT NULL,
    next_look_at TIMESTAMP WITH TIME ZONE,
    weighing JSONB NOT NULL,
    stale BOOLEAN DEFAULT 'false' NOT NULL,
    CONSTRAINT pk_weighings PRIMARY KEY (order_number),
    CONSTRAINT fk_weighings_order_number FOREIGN KEY(order_number) REFERENCES orders (number)
);

CREATE INDEX ix_weighings_next_look_at ON weighings (next_look_at);

CREATE TABLE dead_letters (
    batch_no BIGINT NOT NULL,
    payload BYTEA NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    CONSTRAINT pk_dead_letters PRIMARY KEY (batch_no),
    CONSTRAINT fk_dead_letters_batch_no FOREIGN KEY(batch_no) REFERENCES batches (no)
);

CREATE TABLE transfers (
    transfer TEXT NOT NULL,
    ownership_no BIGINT NOT NULL,
    to_account_no INTEGER NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    accepted_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_transfers PRIMARY KEY (transfer),
    CONSTRAINT fk_transfers_ownership_no FOREIGN KEY(ownership_no) REFERENCES ownership (no),
    CONSTRAINT fk_transfers_to_account_no FOREIGN KEY(to_account_no) REFERENCES accounts (no)
);

CREATE INDEX ix_transfers_ownership_no ON transfers (ownership_no);

CREATE INDEX ix_transfers_to_account_no ON transfers (to_account_no);
