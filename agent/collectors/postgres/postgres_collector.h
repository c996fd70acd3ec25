// The collector of one PostgreSQL server: job "postgres", postgres_exporter's names, and the label `server`
// with the entry's name. One connection, kept; a lost one is made anew at once, and then once per collection.
//
// pg_up is 0 when nobody answers or the server takes nobody (it starts, stops, or is full), and absent when
// it answers and refuses this role: that is the collector's failure, not the server's, and is tried again
// each 30 s. Its edges are the events postgres.down and postgres.up. What applications set themselves
// (application_name, statements) is not read.
//
// Read each `every`, and when a statement becomes as old as `long_query_after` (no oftener than each 250 ms,
// or than `every` where that is less): activity, locks, blocking roots, long statements, databases,
// replication, checkpoints, errors logged; each 15 s: tables; each minute: names, settings, sizes (each 10
// min once that took too long).
#pragma once
#include <memory>

#include "agent/collectors/collector.h"
#include "agent/collectors/config.h"

namespace quell::agent {

std::unique_ptr<Collector> MakePostgresCollector(PostgresConfig config);

}  // namespace quell::agent
