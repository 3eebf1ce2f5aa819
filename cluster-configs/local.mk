# SPDX-License-Identifier: GPL-2.0-or-later
# Examples to start from, each checked offline; included by Makefile.am.
kemariexamplesdir = $(docdir)/cluster-configs
dist_kemariexamples_DATA = cluster-configs/README.md \
	cluster-configs/corosync.conf cluster-configs/kemari.conf \
	cluster-configs/vm0.xml
dist_kemariexamples_SCRIPTS = cluster-configs/pcs-setup \
	cluster-configs/pcs-fencing-topology

systemd_units = cluster-configs/kemarid.service \
	cluster-configs/kemari-mced.service
nodist_systemdsystemunit_DATA = $(systemd_units)
EXTRA_DIST += cluster-configs/kemarid.service.in \
	cluster-configs/kemari-mced.service.in tests/configs/check
CLEANFILES += $(systemd_units)
TESTS += tests/configs/check

$(systemd_units): Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	$(edit) $(srcdir)/$@.in >$@.tmp && mv $@.tmp $@
cluster-configs/kemarid.service: cluster-configs/kemarid.service.in
cluster-configs/kemari-mced.service: cluster-configs/kemari-mced.service.in
