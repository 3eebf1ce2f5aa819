# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab: a cluster on one machine, made of namespaces."""
