#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# test_virt in a sandbox. KEMARI_QEMU, or the first patched or distribution's
# emulator that is there.

set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=${top_srcdir:-$here/../..}
program=${TEST_VIRT:-${top_builddir:-.}/tests/unit/test_virt}
if [ -z "${KEMARI_QEMU-}" ]; then
    KEMARI_QEMU=$("$top/qemu-patches/build" --path 2>/dev/null) ||
        KEMARI_QEMU=/usr/bin/qemu-system-x86_64
fi
[ -x "$KEMARI_QEMU" ] || { echo "no emulator: $KEMARI_QEMU"; exit 77; }
export KEMARI_QEMU

TEST_DISKS=$(mktemp -d)
export TEST_DISKS
trap 'rm -r "$TEST_DISKS"' EXIT
truncate -s 1M "$TEST_DISKS/disk.raw"
"$here/libvirt-sandbox" "$(realpath "$program")"
