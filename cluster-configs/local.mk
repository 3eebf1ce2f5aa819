# SPDX-License-Identifier: GPL-2.0-or-later
# Examples to start from, each checked offline; included by Makefile.am.
kemariexamplesdir = $(docdir)/cluster-configs
