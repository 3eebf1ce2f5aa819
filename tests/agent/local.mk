# SPDX-License-Identifier: GPL-2.0-or-later
# What can be tried of the agent without a cluster; included by Makefile.am.
TESTS += tests/agent/offline
EXTRA_DIST += tests/agent/offline tests/agent/cluster-ocf-tester
