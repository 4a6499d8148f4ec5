#!/bin/sh
# Install what the tests need beside Python packages, only what is missing. Debian and Ubuntu.
set -eu

PATH="$PATH:/usr/sbin:/sbin"
missing=""

need() { # need COMMAND PACKAGE…: the packages, unless the command is there
    command -v "$1" >/dev/null 2>&1 && return
    shift
    missing="$missing $*"
}

need chromium chromium
need chromedriver chromium-driver
need redis-server redis-server
need radosgw radosgw
need ceph-mon ceph-mon
need ceph-osd ceph-osd
need ceph ceph-common
need nginx nginx
need ip iproute2
need unshare util-linux
need unzip unzip
need bsdtar libarchive-tools
ls /usr/lib/postgresql/*/bin/pg_ctl >/dev/null 2>&1 || missing="$missing postgresql"

[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
    echo "error: no apt-get here; install by hand:$missing" >&2
    exit 1
fi
as_root=""
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || {
        echo "error: run as root, or install sudo: apt-get install$missing" >&2
        exit 1
    }
    as_root="sudo"
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "Installing from Debian:$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
if ! { $as_root apt-get update -q &&
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
        $missing; } >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    echo "error: apt-get could not install:$missing" >&2
    exit 1
fi
