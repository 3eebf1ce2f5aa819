# SPDX-License-Identifier: GPL-2.0-or-later
# The lab builds its own three programs at `up`.
EXTRA_DIST += tests/lab
