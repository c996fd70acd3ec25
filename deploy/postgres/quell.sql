-- What quell needs in a PostgreSQL server: two roles to log in with, one that owns, and the schema quell.
--
--     psql --no-psqlrc --set ON_ERROR_STOP=1 --dbname boutique --file quell.sql         as a superuser
--
-- Run it in each database that quell watches or acts in; roles belong to the server, the schema to a database. It may be
-- run again at any time: what is there is brought back to what is written here.
--
--   quell_monitor  the agent's: reads the statistics views (pg_monitor) and nothing of the applications' tables
--   quell_remedy   the worker's: may execute the functions below and nothing else
--   quell_owner    owns the schema and its functions; nobody logs in as it
--
-- No role has a password: both come by the Unix socket, from an operating system's user of their own (pg_hba.conf and
-- pg_ident.conf beside this file).
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = pg_catalog, pg_temp;

DO $roles$
DECLARE
  role_name text;
BEGIN
  FOREACH role_name IN ARRAY ARRAY['quell_owner', 'quell_monitor', 'quell_remedy'] LOOP
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role_name) THEN
      EXECUTE pg_catalog.format('CREATE ROLE %I', role_name);
    END IF;
  END LOOP;
END
$roles$;

ALTER ROLE quell_owner NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;

-- One connection per database that is watched, and one for a person who looks with the same rights.
ALTER ROLE quell_monitor LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 2;
GRANT pg_monitor TO quell_monitor;
GRANT EXECUTE ON FUNCTION pg_current_logfile(), pg_current_logfile(text) TO quell_monitor;  -- pg_monitor's from 16 on
ALTER ROLE quell_monitor SET default_transaction_read_only = on;
ALTER ROLE quell_monitor SET statement_timeout = '3s';
ALTER ROLE quell_monitor SET lock_timeout = '100ms';
ALTER ROLE quell_monitor SET idle_in_transaction_session_timeout = '10s';
ALTER ROLE quell_monitor SET search_path = pg_catalog, pg_temp;

ALTER ROLE quell_remedy LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 4;
ALTER ROLE quell_remedy SET statement_timeout = '10s';
ALTER ROLE quell_remedy SET lock_timeout = '100ms';
ALTER ROLE quell_remedy SET idle_in_transaction_session_timeout = '10s';
ALTER ROLE quell_remedy SET search_path = pg_catalog, pg_temp;

CREATE SCHEMA IF NOT EXISTS quell;
ALTER SCHEMA quell OWNER TO quell_owner;
REVOKE ALL ON SCHEMA quell FROM PUBLIC;
GRANT USAGE ON SCHEMA quell TO quell_remedy;

-- ---- remedies: functions that quell_remedy may execute ----------------------------------------------------------------

-- ---- end of remedies --------------------------------------------------------------------------------------------------

COMMIT;
