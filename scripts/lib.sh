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

# quietly WHAT CMD…   runs a command whose output nobody wants to read unless it fails. One that lasts is announced, and every 10 seconds
# its last line is shown.
quietly() {
  local what=$1 log pid status=0 begun=$SECONDS told=-1 now
  shift
  log=$(mktemp)
  "$@" >"$log" 2>&1 &
  pid=$!
  # What runs in the background is not ended by the terminal's Ctrl-C.
  trap 'kill $pid 2>/dev/null; rm -f "$log"; exit 130' INT TERM
  while kill -0 $pid 2>/dev/null; do
    sleep 0.1
    now=$((SECONDS - begun))
    if [ $now -ge 1 ] && [ $told = -1 ]; then told=$now && say "$what"; fi
    if [ $now -ge $((told + 10)) ]; then
      told=$now
      say "$what: $now s, $(wc -l <"$log") lines so far, the last: $(tail -n 1 "$log" | tr -d '\r' | cut -c 1-80)"
    fi
  done
  trap - INT TERM
  wait $pid || status=$?
  [ $status = 0 ] || tail -n 20 "$log" >&2
  rm -f "$log"
  return $status
}

need_root() { [ "$(id -u)" = 0 ] || die 98 "run me as root (I create namespaces and may install packages)"; }

# install_missing COMMAND:PACKAGE…   installs from Debian the packages whose command is not there; nothing when all are.
# No daemon is started by it: a policy-rc.d that says no stands in the way for as long as it takes.
install_missing() {
  local pair missing=()
  for pair in "$@"; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || die 98 "these packages are missing and there is no apt-get to install them: ${missing[*]}"
  (
    exec 9>/var/lock/lvs-lab-packages
    flock 9
    policy=/usr/sbin/policy-rc.d ours=
    trap 'rm -f $ours' EXIT
    if [ ! -e $policy ]; then
      ours=$policy
      printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy
    fi
    export DEBIAN_FRONTEND=noninteractive
    quietly "installing ${missing[*]}" sh -c 'apt-get update -q && exec apt-get install -y -q --no-install-recommends "$@"' - "${missing[@]}" 9>&-
  ) || die 98 "could not install ${missing[*]}: see apt's words above; once \`apt-get install ${missing[*]}\` succeeds, run me again"
}

need_cargo() {
  local wanted found
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml")
  if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then PATH=$HOME/.cargo/bin:$PATH; fi
  command -v cargo >/dev/null || die 98 "cargo is missing: install Rust $wanted or later from https://rustup.rs (as this user), then run me again"
  found=$(cargo --version | cut -d ' ' -f 2)
  [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" = "$wanted" ] ||
    die 98 "cargo is $found, and Rust $wanted or later is needed: \`rustup update\`, or install it from https://rustup.rs, then run me again"
}

# static_cargo VERB ARG…: cargo for static binaries in the lab's profile; all who run the lab, the simulation and the fuzzer share one set of build results.
# Static, because a guest reads every shared library through hostfs at every exec.
static_cargo() {
  local triple
  triple=$(host_triple)
  (cd "$ROOT" && RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" cargo "$1" --profile lab --target "$triple" "${@:2}")
}

# The version that Cargo.toml declares.
declared_version() { sed -n 's/^version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml" | head -n 1; }

host_triple() { rustc -vV | sed -n 's/^host: //p'; }

# build_release PACKAGE…   release binaries; their folder is left in $BIN. With $LVS_LAB_BIN nothing is built: they are there.
build_release() {
  if [ -n "${LVS_LAB_BIN:-}" ]; then
    [ -x "$LVS_LAB_BIN/lvs-lab" ] || die 2 "there is no lvs-lab in $LVS_LAB_BIN (LVS_LAB_BIN)"
    BIN=$LVS_LAB_BIN
    return
  fi
  need_cargo
  local package args=()
  BIN=${CARGO_TARGET_DIR:-$ROOT/target}/$(host_triple)/lab
  for package in "$@"; do args+=(-p "$package"); done
  quietly "building lvs-agent and the lab" static_cargo build --bins "${args[@]}" || die 98 "the build failed: the compiler's words are above"
}

fast_tests() { static_cargo test -q -p cluster-tests; }

# wishes NAME: leaves in WISHES the options which a scenario's "# lab:" line asks for. What stands behind " -- " is words for people.
wishes() {
  local file=$ROOT/cluster-tests/scenarios/$1.sh
  [ -r "$file" ] || die 2 "no scenario $1 (scripts/lab scenario --list)"
  read -ra WISHES <<<"$(sed -n 's/^# lab: *//p' "$file" | sed 's/\(^\| \)-- .*//')"
}

# same_lab WISH…: those of them that make another lab; scenarios with the same ones may share a boot. The others are for scripts/test alone.
same_lab() { sed -E 's/--(timeout [0-9]+|both-kernels|alone|real-too|figures) *//g; s/ *$//' <<<"$*"; }

# accelerator IMAGE   prints kvm where a kernel really starts under it, else tcg. /dev/kvm alone proves nothing: some virtual machines have one
# on which firmware runs and kernels hang. IMAGE is one of scripts/vm-image, whose kernel speaks on the serial port.
accelerator() {
  local work pid tries found=tcg
  [ -w /dev/kvm ] || { echo tcg && return; }
  work=$(mktemp -d)
  qemu-system-x86_64 -accel kvm -m 256 -snapshot -drive "file=$1,if=virtio" -nic none -display none -serial "file:$work/serial" >/dev/null 2>"$work/errors" &
  pid=$!
  for ((tries = 0; tries < 200; tries++)); do
    if grep -qsa 'Linux version' "$work/serial"; then found=kvm && break; fi
    if grep -qs 'KVM internal error' "$work/errors" || ! kill -0 $pid 2>/dev/null; then break; fi
    sleep 0.1
  done
  kill $pid 2>/dev/null || :
  wait $pid 2>/dev/null || :
  rm -rf "$work"
  echo $found
}
