# Functions of deploy/quickstart: one place with its keys, files, users and processes. Sourced with $root, $build, $place and
# $as_root set.
#
#   $place/bin         the programs            $place/pki         what `pki init` made
#   $place/controller  controller.yaml, keys, log.db, rules.d, policies.d
#   $place/agent       agent.yaml, keys, state    $place/executor    sanctions.yaml, state
#   $place/run         sockets and pid files      $place/log         what the programs say
#   $place/app         the demo's application and its PM2
programs="quell quell-controller quell-agent quell-executor quell-worker quell-pm2-reader"

say() { printf '%s\n' "$*"; }

# ---- users ---------------------------------------------------------------------------------------------------------
user_controller=quell-qs-ctl
user_agent=quell-qs-agent
user_app=quell-qs-app

make_users() {
  if [ $as_root = no ]; then
    user_controller=$(id -un) user_agent=$user_controller user_app=$user_controller
    return
  fi
  local user
  for user in $user_controller $user_agent $user_app; do
    getent passwd "$user" > /dev/null || useradd --system --no-create-home --home-dir "$place/app" --shell /usr/sbin/nologin "$user"
  done
}

remove_users() {
  [ $as_root = yes ] || return 0
  local user other
  for other in /var/lib/quell-quickstart /var/lib/quell-demo; do
    [ "$other" = "$place" ] || [ ! -e "$other" ] || return 0  # the other place still needs them
  done
  for user in $user_controller $user_agent $user_app; do
    if getent passwd "$user" > /dev/null; then userdel "$user"; fi
  done
}

# as USER COMMAND…: runs it as that user, with a clean environment.
as() {
  local user=$1
  shift
  local clean=(env -i PATH=/usr/local/bin:/usr/bin:/bin HOME="$place/app" LANG=C.UTF-8)
  if [ $as_root = yes ] && [ "$user" != root ]; then
    setpriv --reuid "$user" --regid "$user" --init-groups "${clean[@]}" "$@"
  else
    "${clean[@]}" "$@"
  fi
}

# ---- building --------------------------------------------------------------------------------------------------------
build_programs() {
  "$root/deploy/dependencies" build
  if [ ! -f "$build/build.ninja" ]; then
    (cd "$root" && cmake --preset release > "$build.configure.log" 2>&1) || { cat "$build.configure.log" >&2; return 1; }
  fi
  # shellcheck disable=SC2086
  ninja -C "$build" $programs | tail -n 1
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
  mkdir -p "$place"/{bin,log,run,controller/rules.d,controller/policies.d,agent/state,executor/state,executor/sanctions.d}
  [ $as_root = yes ] || return 0
  chmod 755 "$place" "$place"/{bin,log,run,executor}
  chown -R "$user_controller:" "$place/controller"
  chown -R "$user_agent:" "$place/agent"
  chown root: "$place/run" "$place/executor"
  chmod 700 "$place/controller" "$place/executor/state"
  chmod 755 "$place/agent"
  chmod 700 "$place/agent/state"
}

place_keys() {
  local file agent
  agent=$place/pki/agent-$(host_name)
  for file in "$place"/pki/controller/*; do give "$user_controller" 600 "$file" "$place/controller/${file##*/}"; done
  for file in "$agent"/*; do give "$user_agent" 600 "$file" "$place/agent/${file##*/}"; done
  for file in trust.bundle root.pin host-id; do give root 600 "$agent/$file" "$place/executor/$file"; done
}

write_files() {
  local demo=${1:-}
  write_controller_files "$demo"
  write_agent_files "$demo"
  if [ $as_root = yes ]; then
    chown "$user_controller:" "$place"/controller/controller.yaml "$place"/controller/*.d/*
    chown root: "$place"/agent/agent.yaml "$place"/executor/sanctions.yaml
    chmod 644 "$place"/agent/agent.yaml "$place"/executor/sanctions.yaml
  fi
}

# ---- processes -------------------------------------------------------------------------------------------------------
# start NAME USER COMMAND…: in the background, in a session of its own, its pid and start time written down.
start() {
  local name=$1 user=$2
  shift 2
  running "$name" && return
  as "$user" setsid "$@" >> "$place/log/$name" 2>&1 < /dev/null &
  local pid=$!
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

quell() { "$place/bin/quell" --socket "$place/run/operator.sock" "$@"; }
controller_ready() { (exec 3<> "/dev/tcp/127.0.0.1/$port_web" && printf 'GET /-/ready HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' >&3 && grep -q '200' <&3); }
host_connected() { quell get hosts -o json | grep -q '"connected"'; }

stop_all() {
  [ -d "$place/run" ] || return 0
  stop_app
  local name
  for name in agent executor controller; do stop $name; done
}

purge_place() {
  [ -e "$place" ] || { remove_users; return; }
  [ -d "$place/run" ] && [ -f "$place/ports" ] || [ ! -e "$place/bin" ] || { say "quickstart: $place is not a place of quickstart's; left alone" >&2; return 1; }
  rm -rf "$place"
  remove_users
}
