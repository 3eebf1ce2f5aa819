# SPDX-License-Identifier: GPL-2.0-or-later
# Checks of the text of the sources; included by Makefile.am.
lint_tests = \
	tests/lint/core-includes \
	tests/lint/format \
	tests/lint/hardening \
	tests/lint/headers \
	tests/lint/length \
	tests/lint/shell \
	tests/lint/spdx \
	tests/lint/words
TESTS += $(lint_tests)
EXTRA_DIST += $(lint_tests) tests/lint/lib.sh
