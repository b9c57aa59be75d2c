# Sourced. Says to uv what pip's own configuration says on this machine (mirrors, wheel folders,
# certificates), because uv does not read it. Nothing is set that the caller has set already.
#
# Needs: $PIP_PYTHON, a Python that has pip.

pip_setting() { # NAME: pip's value, whitespace squeezed; empty when unset
    for section in :env: install global; do
        value=$("$PIP_PYTHON" -m pip config get "$section.$1" 2>/dev/null) || continue
        printf '%s' "$value" | tr -s '[:space:]' ' ' | sed 's/^ //; s/ $//'
        return
    done
}

pass_on() { # VARIABLE PIP_NAME [SEPARATOR]
    eval "present=\${$1:-}"
    [ -z "$present" ] || return 0
    value=$(pip_setting "$2" | tr ' ' "${3:- }")
    [ -z "$value" ] || export "$1=$value"
}

pass_on UV_FIND_LINKS find-links ,
pass_on UV_DEFAULT_INDEX index-url
pass_on UV_INDEX extra-index-url
pass_on UV_NO_INDEX no-index
pass_on UV_HTTP_TIMEOUT default-timeout
pass_on SSL_CERT_FILE cert
[ -z "${UV_INDEX:-}" ] || export UV_INDEX_STRATEGY="${UV_INDEX_STRATEGY:-unsafe-best-match}" # as pip does
