-- What release.rollback needs of an application's database, besides quell.sql: to read which migrations were applied.
--
--     psql --no-psqlrc --set ON_ERROR_STOP=1 --dbname boutique --file migrations.sql        as a superuser
--
-- quell_monitor may read Prisma's table of migrations, and no other of the applications' tables. Another tool's table: grant
-- SELECT on that one instead, and name a query in the host's sanctions (migrations: {connection: main, query_file: …}).
DO $migrations$
BEGIN
  IF pg_catalog.to_regclass('public._prisma_migrations') IS NULL THEN
    RAISE NOTICE 'there is no table public._prisma_migrations in this database: nothing was granted';
    RETURN;
  END IF;
  GRANT USAGE ON SCHEMA public TO quell_monitor;
  GRANT SELECT ON public._prisma_migrations TO quell_monitor;
END
$migrations$;
