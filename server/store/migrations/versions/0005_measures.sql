-- How well places are listened to, and our service in figures. The reasons stand in server/store/tables/measures.py.

CREATE TABLE listened_days (
    cell TEXT NOT NULL,
    day DATE NOT NULL,
    serials BIGINT[] NOT NULL,
    CONSTRAINT pk_listened_days PRIMARY KEY (cell, day)
);

CREATE INDEX ix_weighings_stale ON weighings (next_look_at) WHERE stale;

CREATE TABLE service_records (
    name TEXT NOT NULL,
    as_of TIMESTAMP WITH TIME ZONE NOT NULL,
    record JSONB NOT NULL,
    CONSTRAINT pk_service_records PRIMARY KEY (name)
);

CREATE INDEX ix_statements_people ON statements (said_at) WHERE kind in ('promise', 'contact');
