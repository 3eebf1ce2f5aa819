# SPDX-License-Identifier: GPL-2.0-or-later
# The model of the rules: not in `make check`, which would run it once more in
# `make distcheck`; tests/list runs it.
EXTRA_DIST += tests/model
.PHONY: check-model check-model-large
check-model:
	$(top_srcdir)/tests/model/run
check-model-large:
	$(top_srcdir)/tests/model/run --large
