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

-- One connection for each database of this server that is watched, beside them the workers that look before a remedy, and
-- a person who looks with the same rights. A limit, so that quell can't use up what the server has.
ALTER ROLE quell_monitor LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 10;
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

-- quell.terminate: the one thing that quell_remedy can do to another session.
--
--   mode         terminate: ends the session; cancel: cancels the statement it runs; ended: does nothing, and says whether
--                that has come about: the session is gone, or (with query_start) no longer runs that statement
--   pid, backend_start, xact_start, query_start
--                which session, to the microsecond, as pg_stat_activity says. xact_start NULL means that it has no
--                transaction; query_start NULL is not compared. A number that another session, transaction or statement
--                bears by now matches nothing.
--   done         true: it was done (ended: it has come about); reason is empty then. Otherwise reason is one of
--     mode             there is no such mode
--     gone             no session has that number, or it ended just now
--     own              quell's own session, this one included
--     not_client       a process of the server itself, a walsender, autovacuum: anything but a client's session
--     superuser        its user is a superuser
--     replication      its user may replicate
--     other_session    the number was used again; likewise other_transaction, other_query
--     not_active       to cancel, and it runs nothing
--     still_there      ended: not yet
--
-- What is compared and the signal are one statement over one look at the server's sessions; the look is made anew for each
-- call, whatever the caller's transaction saw before.
DROP FUNCTION IF EXISTS quell.terminate(integer, timestamptz, timestamptz, timestamptz, text);  -- with what was granted on it
CREATE FUNCTION quell.terminate(
  pid integer, backend_start timestamptz, xact_start timestamptz, query_start timestamptz, mode text,
  OUT done boolean, OUT reason text)
LANGUAGE sql VOLATILE SECURITY DEFINER PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $body$
  SELECT pg_catalog.pg_stat_clear_snapshot();

  WITH session AS MATERIALIZED (
    SELECT a.pid, a.backend_start, a.query_start, a.state IN ('active', 'fastpath function call') AS active,
           CASE
             WHEN a.pid = pg_catalog.pg_backend_pid()
               OR a.usename IN ('quell_owner', 'quell_monitor', 'quell_remedy') THEN 'own'
             WHEN a.backend_type IS DISTINCT FROM 'client backend' OR r.oid IS NULL THEN 'not_client'
             WHEN r.rolsuper THEN 'superuser'
             WHEN r.rolreplication THEN 'replication'
             WHEN a.backend_start IS DISTINCT FROM terminate.backend_start THEN 'other_session'
             WHEN a.xact_start IS DISTINCT FROM terminate.xact_start THEN 'other_transaction'
             WHEN terminate.query_start IS NOT NULL
               AND a.query_start IS DISTINCT FROM terminate.query_start THEN 'other_query'
             WHEN terminate.mode = 'cancel'
               AND a.state IS DISTINCT FROM 'active' AND a.state IS DISTINCT FROM 'fastpath function call'
               THEN 'not_active'
           END AS refusal
    FROM pg_catalog.pg_stat_activity a
    LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid
    WHERE a.pid = terminate.pid
  ),
  answer AS MATERIALIZED (
    SELECT CASE
             WHEN terminate.mode = 'ended' THEN s.pid IS NULL
               OR s.backend_start IS DISTINCT FROM terminate.backend_start
               OR (terminate.query_start IS NOT NULL
                   AND (s.query_start IS DISTINCT FROM terminate.query_start OR s.active IS NOT TRUE))
             WHEN s.pid IS NULL OR s.refusal IS NOT NULL THEN false
             WHEN terminate.mode = 'terminate' THEN pg_catalog.pg_terminate_backend(s.pid)
             WHEN terminate.mode = 'cancel' THEN pg_catalog.pg_cancel_backend(s.pid)
             ELSE false
           END AS done,
           CASE
             WHEN terminate.mode = 'ended' THEN 'still_there'
             WHEN terminate.mode IN ('terminate', 'cancel') THEN coalesce(s.refusal, 'gone')
             ELSE 'mode'
           END AS otherwise
    FROM (SELECT 1) AS one
    LEFT JOIN session s ON true
  )
  SELECT a.done, CASE WHEN a.done THEN '' ELSE a.otherwise END FROM answer a;
$body$;
ALTER FUNCTION quell.terminate(integer, timestamptz, timestamptz, timestamptz, text) OWNER TO quell_owner;
REVOKE ALL ON FUNCTION quell.terminate(integer, timestamptz, timestamptz, timestamptz, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION quell.terminate(integer, timestamptz, timestamptz, timestamptz, text) TO quell_remedy;
GRANT pg_signal_backend, pg_read_all_stats TO quell_owner;

-- ---- end of remedies --------------------------------------------------------------------------------------------------

COMMIT;
