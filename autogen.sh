#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes ./configure. ./quickstart does this in a copy of the tree.
cd "$(dirname "$0")" || exit 1
exec autoreconf --install --force --warnings=all
