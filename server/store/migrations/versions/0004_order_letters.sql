-- Letters to an order's customer, who may have no account. The reasons stand in server/store/tables/orders.py.

ALTER TABLE notices ADD COLUMN order_number TEXT;

ALTER TABLE notices ADD CONSTRAINT fk_notices_order_number FOREIGN KEY (order_number) REFERENCES orders (number);

ALTER TABLE notices ADD CONSTRAINT ck_notices_reader CHECK (num_nonnulls(account_no, order_number) = 1);
