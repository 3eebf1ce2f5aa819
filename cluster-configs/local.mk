# SPDX-License-Identifier: GPL-2.0-or-later
# Examples to start from, each checked offline; included by Makefile.am.
kemariexamplesdir = $(docdir)/cluster-configs
dist_kemariexamples_DATA = cluster-configs/README.md \
	cluster-configs/corosync.conf cluster-configs/kemari.conf \
	cluster-configs/vm0.xml
dist_kemariexamples_SCRIPTS = cluster-configs/pcs-setup \
	cluster-configs/pcs-fencing-topology

nodist_systemdsystemunit_DATA = cluster-configs/kemarid.service
EXTRA_DIST += cluster-configs/kemarid.service.in tests/configs/check
CLEANFILES += cluster-configs/kemarid.service
TESTS += tests/configs/check

cluster-configs/kemarid.service: cluster-configs/kemarid.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	$(edit) $(srcdir)/cluster-configs/kemarid.service.in >$@.tmp && \
	mv $@.tmp $@
