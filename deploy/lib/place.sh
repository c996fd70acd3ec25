# Functions of deploy/quickstart: one place with its keys, files, users and processes. Sourced with $root, $build, $place and
# $as_root set.
#
#   $place/bin         the programs            $place/pki         what `pki init` made
#   $place/controller  controller.yaml, keys, log.db, rules.d, policies.d
#   $place/agent       agent.yaml, keys, state    $place/executor    sanctions.yaml, state
#   $place/run         sockets and pid files      $place/log         what the programs say
#   $place/app         the demo's applications: releases, `current`, and their PM2
#   $place/db          the demo's PostgreSQL
programs="quell quell-controller quell-agent quell-executor quell-worker quell-pm2-reader"

say() { printf '%s\n' "$*"; }

# ---- users ---------------------------------------------------------------------------------------------------------
user_controller=quell-qs-ctl
user_agent=quell-qs-agent
user_remedy=quell-qs-remedy
user_app=boutique-qs     # not quell-…: quell never acts on what bears its own name
user_db=boutique-qs-db

make_users() {
  if [ $as_root = no ]; then
    own_users
    return
  fi
  local user
  for user in $user_controller $user_agent $user_remedy $user_app $user_db; do
    getent passwd "$user" > /dev/null || useradd --system --no-create-home --home-dir "$place/app" --shell /usr/sbin/nologin "$user"
  done
}

# Without root everything belongs to whoever started it.
own_users() {
  user_controller=$(id -un)
  user_agent=$user_controller user_remedy=$user_controller user_app=$user_controller user_db=$user_controller
}

# Users of a place that is gone. One who still runs something is another place's too, and stays.
remove_users() {
  [ $as_root = yes ] || return 0
  local user
  for user in $user_controller $user_agent $user_remedy $user_app $user_db; do
    getent passwd "$user" > /dev/null || continue
    pgrep -u "$user" > /dev/null || userdel "$user" 2> /dev/null || true
  done
}

# command_as USER COMMAND…: the words, in the array `words`, that run it as that user with a clean environment.
command_as() {
  local user=$1
  shift
  words=(env -i PATH=/usr/local/bin:/usr/bin:/bin HOME="$place/app" LANG=C.UTF-8 "$@")
  if [ $as_root = yes ] && [ "$user" != root ]; then
    words=(setpriv --reuid "$user" --regid "$user" --init-groups "${words[@]}")
  fi
}

as() {
  local words
  command_as "$@"
  "${words[@]}"
}

# ---- building --------------------------------------------------------------------------------------------------------
build_programs() {
  if [ "$mode" = demo ]; then "$root/deploy/dependencies" demo; else "$root/deploy/dependencies" build; fi
  if [ ! -f "$build/build.ninja" ]; then
    (cd "$root" && cmake --preset "${build##*/}" > "$build.configure.log" 2>&1) || { cat "$build.configure.log" >&2; return 1; }
  fi
  # shellcheck disable=SC2086
  if [ -t 1 ]; then
    ninja -C "$build" $programs
  else
    say "building (the first time takes some ten minutes on two processors)"
    ninja -C "$build" $programs > "$build.build.log" 2>&1 || { tail -n 40 "$build.build.log" >&2; return 1; }
  fi
  mkdir -p "$place/bin"
  local program
  for program in $programs; do
    cmp -s "$build/bin/$program" "$place/bin/$program" || install -m 755 "$build/bin/$program" "$place/bin/$program"
  done
}

# ---- ports -----------------------------------------------------------------------------------------------------------
# A port on loopback that nobody listens on, from a range below the ephemeral one.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null || { echo $port; return; }
  done
}

choose_ports() {
  [ -f "$place/ports" ] || {
    echo "port_agents=$(free_port)"
    echo "port_web=$(free_port)"
    echo "port_app=$(free_port)"
    echo "port_hook=$(free_port)"
    echo "port_mail=$(free_port)"
    echo "port_websocket=$(free_port)"
    echo "port_db=$(free_port)"
  } > "$place/ports"
  # shellcheck disable=SC1091
  . "$place/ports"
}

# ---- keys and files --------------------------------------------------------------------------------------------------
host_name() {
  local name
  name=$(hostname 2> /dev/null | tr 'A-Z_' 'a-z-' | cut -c1-60)
  case $name in [a-z0-9]*) echo "$name" ;; *) echo localhost ;; esac
}

make_keys() {
  [ -d "$place/pki" ] && return
  # Without a passphrase: fit for trying quell out, and for nothing else.
  "$place/bin/quell-controller" pki init --dir "$place/pki" --dns localhost --address 127.0.0.1 --agent "$(host_name)" \
    > "$place/log/pki" || return 1
  say "made keys without passphrases in $place/pki (for trying out: a real installation gives the trust root one)"
}

give() { # give USER MODE FROM TO
  install -m "$2" "$3" "$4"
  [ $as_root = yes ] && chown "$1:" "$4"
  return 0
}

make_directories() {
  mkdir -p "$place"/{bin,log,run/controller,run/executor,run/db,controller/rules.d,controller/policies.d,agent/state,executor/state,executor/sanctions.d}
  chmod 755 "$place" "$place"/{bin,log,run,run/executor,executor,agent}
  chmod 700 "$place"/{controller,run/controller,agent/state,executor/state}
  [ $as_root = yes ] || return 0
  chown -R "$user_controller:" "$place/controller" "$place/run/controller"
  chown "$user_agent:" "$place/agent/state"
  chown "$user_db:" "$place/run/db"
  chown root: "$place"/{agent,run,run/executor,executor}
}

place_keys() {
  local file agent
  agent=$place/pki/agent-$(host_name)
  for file in "$place"/pki/controller/*; do give "$user_controller" 600 "$file" "$place/controller/${file##*/}"; done
  for file in "$agent"/*; do give "$user_agent" 600 "$file" "$place/agent/${file##*/}"; done
  for file in trust.bundle root.pin host-id; do give root 600 "$agent/$file" "$place/executor/$file"; done
}

write_controller_files() {
  local demo=${1:-} monitoring=30m receivers="" mode=ask cooldown=5m
  cp "$root"/deploy/rules/*.y*ml "$place/controller/rules.d/"
  if [ "$demo" = demo ]; then
    monitoring=20s mode=automatic cooldown=20s
    receivers="receivers:
  oncall: {type: email, smtp: \"127.0.0.1:$port_mail\", from: quell@localhost, to: oncall@localhost, tls: off, wakes: true}
  hook: {type: webhook, url: \"http://127.0.0.1:$port_hook/quell\"}
audience: {P0: [oncall], P1: [oncall], P2: [oncall]}
routes: [{to: [hook]}]"
  fi
  # The default policies propose and wait for a person; the demo lets them act, and its faults follow one another quickly.
  local policy
  for policy in "$root"/deploy/policies/*.y*ml; do
    sed "s/^  mode: ask$/  mode: $mode/; s/cooldown: [0-9]*[smh]/cooldown: $cooldown/" "$policy" \
      > "$place/controller/policies.d/${policy##*/}"
  done
  cat > "$place/controller/controller.yaml" <<EOF
listen: {agents: "127.0.0.1:$port_agents", web: "127.0.0.1:$port_web"}
socket: $place/run/controller/operator.sock
store: {sqlite: $place/controller/log.db}
pki: {directory: $place/controller}
monitoring: $monitoring
$receivers
EOF
}

write_agent_files() {
  local demo=${1:-} collectors="  host: {every: 1s}"
  echo "[]" > "$place/executor/sanctions.yaml"
  if [ "$demo" = demo ]; then
    collectors="$collectors
  pm2: {users: [{user: $user_app, home: $place/app/.pm2}]}
  probes:
  - {name: health, about: {user: $user_app, app: boutique-client-portal}, url: \"http://127.0.0.1:$port_app/api/admin/health\",
     every: 1s, timeout: 2s, expect: {status: 200, body: ok}}
  postgres: [{name: main, dsn: \"host=$place/run/db port=$port_db user=quell_monitor dbname=boutique\", every: 1s}]
  changes: {every: 1s, releases: [{user: $user_app, app: boutique-client-portal, path: $place/app}]}"
    cat > "$place/executor/sanctions.yaml" <<EOF
- {action: pm2.restart, user: $user_app, allow: {apps: ["boutique-*"]}, limits: {per_hour: 6}}
- {action: postgres.terminate, connection: main, allow: {databases: [boutique]}, limits: {max_targets: 1, per_hour: 6}}
- {action: release.rollback, user: $user_app, deployment: boutique-client-portal, path: $place/app, layout: releases,
   app: boutique-client-portal}
EOF
  fi
  cat > "$place/agent/agent.yaml" <<EOF
controller: {addresses: ["127.0.0.1:$port_agents"]}
state: $place/agent/state
executor: {socket: $place/run/executor/executor.sock}
collectors:
$collectors
EOF
}

write_files() {
  write_controller_files "${1:-}"
  write_agent_files "${1:-}"
  chmod 644 "$place"/agent/agent.yaml "$place"/executor/sanctions.yaml
  [ $as_root = yes ] || return 0
  chown "$user_controller:" "$place"/controller/controller.yaml "$place"/controller/*.d/*
  chown root: "$place"/agent/agent.yaml "$place"/executor/sanctions.yaml
}

prepare() {
  build_programs
  make_users
  make_directories
  choose_ports
  make_keys
  place_keys
  write_files "${1:-}"
}

# ---- processes -------------------------------------------------------------------------------------------------------
# start NAME USER COMMAND…: in the background, in a session of its own, its pid and start time written down.
start() {
  local name=$1 user=$2
  shift 2
  running "$name" && return
  local words pid
  command_as "$user" "$@"
  (exec setsid "${words[@]}" >> "$place/log/$name" 2>&1 < /dev/null) &
  pid=$!
  echo "$pid $(start_time $pid)" > "$place/run/$name.pid"
}

# Field 22 of /proc/PID/stat: a pid that was given to another process has another one.
start_time() { sed 's/.*) //' "/proc/$1/stat" 2> /dev/null | cut -d' ' -f20; }

running() {
  local pid started
  [ -f "$place/run/$1.pid" ] || return 1
  read -r pid started < "$place/run/$1.pid"
  [ -n "$started" ] && [ "$(start_time "$pid")" = "$started" ]
}

stop() {
  local name=$1 pid started wait
  if running "$name"; then
    read -r pid started < "$place/run/$name.pid"
    kill -TERM "$pid" 2> /dev/null || true
    for wait in $(seq 1 100); do
      running "$name" || break
      sleep 0.1
    done
    if running "$name"; then kill -KILL "$pid" 2> /dev/null || true; fi
  fi
  rm -f "$place/run/$name.pid"
}

# wait_for SECONDS WHAT COMMAND…: until the command succeeds.
wait_for() {
  local seconds=$1 what=$2 n
  shift 2
  for n in $(seq 1 $((seconds * 5))); do
    "$@" > /dev/null 2>&1 && return
    sleep 0.2
  done
  say "quickstart: $what did not come within $seconds s; see $place/log" >&2
  return 1
}

quell() { "$place/bin/quell" --socket "$place/run/controller/operator.sock" "$@"; }
controller_ready() { (exec 3<> "/dev/tcp/127.0.0.1/$port_web" && printf 'GET /-/ready HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' >&3 && grep -q '200' <&3); }
host_connected() { quell get hosts -o json | grep -q '"connected"'; }

start_all() {
  start controller "$user_controller" "$place/bin/quell-controller" run --config "$place/controller/controller.yaml"
  wait_for 30 "the controller" controller_ready
  start executor root "$place/bin/quell-executor" --state "$place/executor/state" --socket "$place/run/executor/executor.sock" \
    --agent-uid "$(id -u "$user_agent")" --monitor-user "$user_agent" --remedy-user "$user_remedy" --sanctions "$place/executor/sanctions.yaml" --hold-file "$place/executor/hold" \
    --trust-bundle "$place/executor/trust.bundle" --root-pin "$place/executor/root.pin" --host-id "$place/executor/host-id" \
    --agent-config "$place/agent/agent.yaml" --worker "$place/bin/quell-worker" --reader "$place/bin/quell-pm2-reader"
  wait_for 30 "the executor" test -S "$place/run/executor/executor.sock"
  start_database
  start_app
  start agent "$user_agent" "$place/bin/quell-agent" --config "$place/agent/agent.yaml"
  wait_for 60 "the agent's connection" host_connected
}

# ---- the demo's database ---------------------------------------------------------------------------------------------------
postgres_bin=/usr/lib/postgresql/15/bin

# psql as one of the server's roles, by peer authentication as the system's user that the role is mapped to.
database() { # database USER ROLE DATABASE WORDS…
  local user=$1 role=$2 name=$3
  shift 3
  as "$user" "$postgres_bin/psql" -X -q -v ON_ERROR_STOP=1 -h "$place/run/db" -p "$port_db" -U "$role" -d "$name" "$@"
}
database_ready() { database "$user_db" postgres postgres -c 'SELECT 1'; }

make_database() {
  mkdir -p "$place/db"
  if [ $as_root = yes ]; then chown "$user_db:" "$place/db"; fi
  as "$user_db" "$postgres_bin/initdb" -D "$place/db/data" -U postgres -E UTF8 --locale=C.UTF-8 > "$place/log/initdb" 2>&1 || return 1
  printf 'local all all peer map=quell\n' > "$place/db/data/pg_hba.conf"
  {
    printf 'quell %s postgres\nquell %s boutique\n' "$user_db" "$user_app"
    printf 'quell %s quell_monitor\nquell %s quell_remedy\n' "$user_agent" "$user_remedy"
  } > "$place/db/data/pg_ident.conf"
  printf "%s\n" "listen_addresses = ''" "unix_socket_directories = '$place/run/db'" "port = $port_db" >> "$place/db/data/postgresql.conf"
}

start_database() {
  [ "$mode" = demo ] || return 0
  make_database || { cat "$place/log/initdb" >&2; return 1; }
  start database "$user_db" "$postgres_bin/postgres" -D "$place/db/data"
  wait_for 30 "the database" database_ready
  database "$user_db" postgres postgres -c 'CREATE ROLE boutique LOGIN' -c 'CREATE DATABASE boutique OWNER boutique'
  database "$user_db" postgres boutique < "$root/deploy/postgres/quell.sql"
  database "$user_db" postgres boutique < "$root/deploy/demo/database.sql"
}

# ---- the demo's applications, under a PM2 of their own ---------------------------------------------------------------------
pm2() { "$place/bin/demo-pm2" "$@"; }

# A program of the demo's that runs its words as that user.
write_wrapper() { # write_wrapper NAME USER WORDS…
  local name=$1 words
  shift
  command_as "$@"
  { printf '#!/bin/sh\nexec'; printf " '%s'" "${words[@]}"; printf ' "$@"\n'; } > "$place/bin/$name"
  chmod 755 "$place/bin/$name"
}

write_wrappers() {
  write_wrapper demo-pm2 "$user_app" PM2_HOME="$place/app/.pm2" PORTAL_PORT="$port_app" PORTAL_CONTROL="$place/app/control" \
    PORTAL_DATABASE="$place/run/db" PGPORT="$port_db" WEBSOCKET_PORT="$port_websocket" \
    "$(command -v node)" "$place/app/pm2/node_modules/pm2/bin/pm2"
  # As the application's role, under a name of its own: what a forgotten report job is.
  write_wrapper demo-report "$user_app" PGAPPNAME=nightly-report "$postgres_bin/psql" -X -q -h "$place/run/db" -p "$port_db" \
    -U boutique -d boutique
  write_wrapper demo-link "$user_app" ln -sfn -T
  write_wrapper demo-move "$user_app" mv -T
}

# 1.0.0 is the portal as it should be. 1.1.0 counts requests by session, and no request has one: each ends the process.
make_releases() {
  mkdir -p "$place/app/releases/1.0.0" "$place/app/releases/1.1.0"
  cp "$root/deploy/demo/portal/server.mjs" "$place/app/releases/1.0.0/"
  sed 's/^  served += 1;$/  served += request.session.requests;/' "$root/deploy/demo/portal/server.mjs" \
    > "$place/app/releases/1.1.0/server.mjs"
  ln -s releases/1.0.0 "$place/app/current"
}

start_app() {
  [ "$mode" = demo ] || return 0
  mkdir -p "$place/app/control"
  cp -r "$root/build/pm2" "$place/app/pm2"
  cp -r "$root/build/portal/node_modules" "$root/deploy/demo/websocket" "$root/deploy/demo/ecosystem.config.cjs" "$place/app/"
  make_releases
  write_wrappers
  if [ $as_root = yes ]; then chown -Rh "$user_app:" "$place/app"; fi
  (cd "$place/app" && pm2 start ecosystem.config.cjs > "$place/log/pm2" 2>&1) || { cat "$place/log/pm2" >&2; return 1; }
}

stop_app() {
  [ -d "$place/app/.pm2" ] && [ -x "$place/bin/demo-pm2" ] || return 0
  (cd "$place/app" && pm2 kill > /dev/null 2>&1) || true
}

stop_all() {
  [ -d "$place/run" ] || return 0
  if [ $as_root = no ]; then own_users; fi
  stop_app
  local name
  for name in agent executor controller database; do stop $name; done
}

purge_place() {
  [ -e "$place" ] || { remove_users; return; }
  [ -d "$place/run" ] && [ -f "$place/ports" ] || [ ! -e "$place/bin" ] || { say "quickstart: $place is not a place of quickstart's; left alone" >&2; return 1; }
  rm -rf "$place"
  remove_users
}
