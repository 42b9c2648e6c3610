-- Version 0002. Written by hand, because it moves what is there; the reasons stand in server/store/tables/ and
-- docs/decisions/0013-partitions.md. It needs as much free space as the sightings take.

-- A batch's place stands in its own row: removed with it, and one query less for each set.

ALTER TABLE batches
    ADD COLUMN lat_e7 INTEGER,
    ADD COLUMN lon_e7 INTEGER,
    ADD COLUMN accuracy_m INTEGER,
    ADD COLUMN place_source SMALLINT;

UPDATE batches b SET lat_e7 = p.lat_e7, lon_e7 = p.lon_e7, accuracy_m = p.accuracy_m, place_source = p.source
FROM places p WHERE p.no = b.place_no;

ALTER TABLE batches
    DROP COLUMN place_no,
    ADD CONSTRAINT ck_batches_place CHECK (num_nulls(lat_e7, lon_e7, accuracy_m, place_source) in (0, 4));

DROP TABLE places;

-- Sightings: narrower rows, in partitions as server/store/partitions.py makes them.

ALTER TABLE sightings RENAME TO sightings_before;

DROP INDEX ix_sightings_serial_heard_at;

CREATE TABLE sightings (
    serial BIGINT NOT NULL,
    heard_at TIMESTAMP WITH TIME ZONE NOT NULL,
    batch_no BIGINT NOT NULL,
    uptime_s BIGINT NOT NULL,
    window_ms INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    adverts SMALLINT NOT NULL,
    status SMALLINT NOT NULL,
    rssi_max_dbm SMALLINT NOT NULL,
    rssi_mean_dbm SMALLINT NOT NULL
) PARTITION BY RANGE (heard_at);

DO $$
DECLARE
    part RECORD;
BEGIN
    FOR part IN
        SELECT DISTINCT
            CASE WHEN young THEN heard_on ELSE date_trunc('month', heard_on) END AS first,
            CASE WHEN young THEN heard_on + interval '1 day'
                ELSE date_trunc('month', heard_on) + interval '1 month' END AS until,
            'sightings_' || to_char(heard_on, CASE WHEN young THEN 'YYYY_MM_DD' ELSE 'YYYY_MM' END) AS name
        FROM (
            SELECT heard_on,
                date_trunc('month', heard_on) + interval '1 month 35 days' > now() AT TIME ZONE 'UTC' AS young
            FROM (SELECT DISTINCT date_trunc('day', heard_at AT TIME ZONE 'UTC') AS heard_on FROM sightings_before) d
        ) days
    LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF sightings FOR VALUES FROM (%L) TO (%L)',
            part.name, part.first AT TIME ZONE 'UTC', part.until AT TIME ZONE 'UTC');
    END LOOP;
END $$;

-- In the order of the index that follows, so that a tag's rows lie together.
INSERT INTO sightings
SELECT serial, heard_at, batch_no, uptime_s,
    greatest(-2147483647, least(2147483647, round(extract(epoch from heard_at - first_heard_at) * 1000)))::integer,
    boot, least(adverts, 32767)::smallint, status, rssi_max_dbm, rssi_mean_dbm
FROM sightings_before ORDER BY serial, heard_at;

DROP TABLE sightings_before;

CREATE INDEX ix_sightings_serial_heard_at ON sightings (serial, heard_at);

ALTER TABLE unresolved_frames
    ADD COLUMN window_ms INTEGER;

UPDATE unresolved_frames SET
    window_ms = greatest(-2147483647, least(2147483647, round(extract(epoch from heard_at - first_heard_at) * 1000))),
    adverts = least(adverts, 32767);

ALTER TABLE unresolved_frames
    ALTER COLUMN window_ms SET NOT NULL,
    ALTER COLUMN adverts TYPE SMALLINT,
    DROP COLUMN first_heard_at;

-- Of the moment: who is looking, who is working. Lost in a crash, and nobody minds.

CREATE UNLOGGED TABLE live_watches (
    serial BIGINT NOT NULL,
    watcher TEXT NOT NULL,
    until TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_live_watches PRIMARY KEY (serial, watcher)
);

CREATE INDEX ix_live_watches_until ON live_watches (until);

CREATE UNLOGGED TABLE ingest_workers (
    worker TEXT NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    lag_s DOUBLE PRECISION NOT NULL,
    waiting INTEGER NOT NULL,
    connected BOOLEAN NOT NULL,
    stored BIGINT NOT NULL,
    CONSTRAINT pk_ingest_workers PRIMARY KEY (worker)
);
