#!/bin/sh
# Run the suite against real servers: test_services.sh [PYTEST ARGUMENTS].
# test_services.sh --install only brings them to this machine, for tests that start them.
#
# PostgreSQL and Redis come from Debian's packages, and are installed when absent, which takes root.
# They listen on free ports of loopback, keep their files in a temporary folder, and end with this.
# Files go to an S3 server, which comes with the tests' own packages (rclone).
set -eu

python=${PYTHON:-.venv/bin/python}
say() { printf 'services: %s\n' "$*"; }
free_port() { "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

postgres_bin() { # the folder of initdb, the newest version's
    find /usr/lib/postgresql -name initdb 2>/dev/null | sort -V | tail -n 1 | xargs -r dirname
}

as_user() { # PostgreSQL refuses to be root
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid="$user" --regid="$user" --init-groups "$@"
    else
        "$@"
    fi
}

install() { # PACKAGE...
    say "installing $*"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

stop() {
    trap - EXIT INT TERM
    [ ! -f "$folder/postgres/postmaster.pid" ] || as_user "$bin/pg_ctl" -D "$folder/postgres" -m immediate -s stop
    [ ! -f "$folder/redis.pid" ] || kill "$(cat "$folder/redis.pid")"
    rm -rf "$folder"
}

start_postgres() { # sets $postgres, a URL
    port=$(free_port)
    as_user "$bin/initdb" -D "$folder/postgres" -U comfyray --auth=trust --no-sync >/dev/null
    as_user "$bin/pg_ctl" -D "$folder/postgres" -l "$folder/postgres.log" -w -s \
        -o "-p $port -c listen_addresses=127.0.0.1 -k $folder -c fsync=off -c max_connections=200" start
    postgres=postgresql://comfyray@127.0.0.1:$port/postgres
}

start_redis() { # sets $redis, a URL
    port=$(free_port)
    redis-server --bind 127.0.0.1 --port "$port" --save '' --dir "$folder" --daemonize yes \
        --pidfile "$folder/redis.pid" >/dev/null
    redis=redis://127.0.0.1:$port/0
}

[ -n "$(postgres_bin)" ] || install postgresql
command -v redis-server >/dev/null || install redis-server
[ "${1-}" != --install ] || exit 0
bin=$(postgres_bin)
user=postgres
folder=$(mktemp -d)
chmod 711 "$folder"
[ "$(id -u)" != 0 ] || chown "$user" "$folder"
trap stop EXIT
trap 'exit 130' INT TERM
start_postgres
start_redis
say "$postgres $redis"
"$python" -m pytest --postgres "$postgres" --redis "$redis" --s3 "$@"
