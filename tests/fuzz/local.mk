# SPDX-License-Identifier: GPL-2.0-or-later
# Fuzzing: not in `make check`, it wants clang and the sources of QEMU;
# tests/list runs it.
EXTRA_DIST += tests/fuzz
.PHONY: check-fuzz
check-fuzz:
	$(top_srcdir)/tests/fuzz/run
