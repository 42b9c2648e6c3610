-- What customers wrote, letters that wait for a person, words about the house. The reasons stand in server/store/tables.

CREATE TABLE contact_words (
    statement_no BIGINT NOT NULL,
    words BYTEA NOT NULL,
    own BOOLEAN NOT NULL,
    CONSTRAINT pk_contact_words PRIMARY KEY (statement_no),
    CONSTRAINT fk_contact_words_statement_no FOREIGN KEY (statement_no) REFERENCES statements (no)
);

CREATE TABLE mail_in (
    no BIGINT GENERATED ALWAYS AS IDENTITY,
    message_hash BYTEA NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    outcome TEXT NOT NULL,
    order_number TEXT,
    letter BYTEA,
    why TEXT,
    candidates TEXT[] NOT NULL,
    attachments SMALLINT NOT NULL,
    settled_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_mail_in PRIMARY KEY (no),
    CONSTRAINT uq_mail_in_message_hash UNIQUE (message_hash),
    CONSTRAINT ck_mail_in_letter CHECK ((outcome = 'waits') = (letter is not null)),
    CONSTRAINT fk_mail_in_order_number FOREIGN KEY (order_number) REFERENCES orders (number)
);

CREATE INDEX ix_mail_in_order_number ON mail_in (order_number);

CREATE INDEX ix_mail_in_waits ON mail_in (received_at) WHERE outcome='waits';

CREATE TABLE house_words (
    no BIGINT GENERATED ALWAYS AS IDENTITY,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    said_at TIMESTAMP WITH TIME ZONE NOT NULL,
    by TEXT NOT NULL,
    source TEXT NOT NULL,
    payload JSONB NOT NULL,
    CONSTRAINT pk_house_words PRIMARY KEY (no),
    CONSTRAINT ck_house_words_kind CHECK (kind in ('channel_state','public_text'))
);

CREATE INDEX ix_house_words_subject ON house_words (kind, subject, no);

CREATE INDEX ix_house_words_said_at ON house_words (said_at);

ALTER TABLE weighings ADD COLUMN waits_since TIMESTAMP WITH TIME ZONE;

CREATE INDEX ix_weighings_waits_since ON weighings (waits_since) WHERE waits_since is not null;
