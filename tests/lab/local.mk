# SPDX-License-Identifier: GPL-2.0-or-later
# The lab builds its own three programs at `up`; and what runs in it.
TESTS += tests/campaign/check
EXTRA_DIST += tests/lab tests/campaign tests/failures
