# Sourced by the scripts next to it: finding the project, installing what is missing, building.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

die() { # STATUS TEXT…
  local status=$1
  shift
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit "$status"
}

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

need_root() { [ "$(id -u)" = 0 ] || die 1 "run me as root (I create namespaces and may install packages)"; }

# install_missing COMMAND:PACKAGE…   installs from Debian the packages whose command is not there; nothing when all are.
# No daemon is started by it: a policy-rc.d that says no stands in the way for as long as it takes.
install_missing() {
  local pair missing=()
  for pair in "$@"; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || die 1 "these packages are missing and there is no apt-get to install them: ${missing[*]}"
  say "installing ${missing[*]}"
  (
    exec 9>/var/lock/lvs-lab-packages
    flock 9
    policy=/usr/sbin/policy-rc.d output=$(mktemp) ours=
    trap 'rm -f "$output" $ours' EXIT
    if [ ! -e $policy ]; then
      ours=$policy
      printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy
    fi
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"; } >"$output" 2>&1 9>&- ||
      { tail -n 20 "$output" >&2 && exit 1; }
  ) || die 1 "could not install: ${missing[*]}"
}

need_cargo() {
  command -v cargo >/dev/null && return
  [ -x "$HOME/.cargo/bin/cargo" ] && PATH=$HOME/.cargo/bin:$PATH && return
  die 1 "cargo is missing: install Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml") or later from https://rustup.rs, then run me again"
}

# static_cargo VERB ARG…: cargo for static binaries in the lab's profile; all who run the lab, the simulation and the fuzzer share one set of build results.
# Static, because a guest reads every shared library through hostfs at every exec.
static_cargo() {
  local triple
  triple=$(rustc -vV | sed -n 's/^host: //p')
  BIN=${CARGO_TARGET_DIR:-$ROOT/target}/$triple/lab
  (cd "$ROOT" && RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" cargo "$1" -q --profile lab --target "$triple" "${@:2}")
}

# build_release PACKAGE…   release binaries; their folder is left in $BIN.
build_release() {
  need_cargo
  local package args=()
  for package in "$@"; do args+=(-p "$package"); done
  static_cargo build --bins "${args[@]}" || die 1 "the build failed"
}

fast_tests() { static_cargo test -p cluster-tests; }
