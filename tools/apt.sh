#!/usr/bin/env bash
# Make sure that the Debian packages of one purpose are there: tools/apt.sh demo|test
#
# Installs what is missing when run as root, else prints the command that does and fails.
set -euo pipefail

PYTHON=${PYTHON:-python3}
missing=()

need() { # need <package> <command that succeeds when the package is there>
  local package=$1
  shift
  "$@" >/dev/null 2>&1 || missing+=("$package")
}

has() { command -v "$1"; }

case "${1:-}" in
demo | test) ;;
*)
  echo "usage: tools/apt.sh demo|test" >&2
  exit 2
  ;;
esac

need gcc has gcc
need libc6-dev test -e /usr/include/stdlib.h
need make has make
need python3-venv "$PYTHON" -c 'import ensurepip, venv'
need python3-dev "$PYTHON" -c 'import os, sysconfig as s; os.stat(os.path.join(s.get_path("include"), "Python.h"))'
if [ "$1" = test ]; then
  need cmake has cmake
  need ninja-build has ninja
  need gcc-riscv64-unknown-elf has riscv64-unknown-elf-gcc
  need binutils-riscv64-unknown-elf has riscv64-unknown-elf-objdump
  need qemu-user has qemu-riscv32
  need chromium has chromium # 64 MB: the reports' pages are looked at in it
fi

[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "Missing on this machine (names of the Debian packages): ${missing[*]}" >&2
  exit 1
fi
if [ "$(id -u)" != 0 ]; then
  echo "Missing Debian packages. Run this, then try again:" >&2
  echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
  exit 1
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends "${missing[@]}"
