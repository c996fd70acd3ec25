-- The demo's database: whom the portal logs in.
CREATE TABLE clients (id integer PRIMARY KEY, name text NOT NULL, seen timestamptz);
INSERT INTO clients SELECT n, 'client ' || n FROM generate_series(1, 100) AS n;
ALTER TABLE clients OWNER TO boutique;
