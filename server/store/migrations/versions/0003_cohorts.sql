-- Cohorts: one mistake behind many orders. The reasons stand in server/store/tables/orders.py.

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

CREATE INDEX ix_cohorts_orders ON cohorts USING gin (orders);

CREATE UNIQUE INDEX uq_cohorts_living ON cohorts (rule, cause_kind, cause) WHERE ended_at is null;
