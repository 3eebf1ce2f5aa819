# SPDX-License-Identifier: GPL-2.0-or-later
# The test of tests/run; included by Makefile.am.
TESTS += tests/runner/check
EXTRA_DIST += tests/runner/check
