-- Two more ways by which owners are told.

ALTER TABLE channels DROP CONSTRAINT ck_channels_kind;

ALTER TABLE channels ADD CONSTRAINT ck_channels_kind CHECK (kind in ('email','webhook','apprise','webpush'));
