# SPDX-License-Identifier: GPL-2.0-or-later
# The fence agent fence_kemari; included by Makefile.am.
sbin_SCRIPTS = fence/fence_kemari
EXTRA_DIST += fence/README.md fence/fence_kemari.in tests/agent/fence-offline \
	tests/failures/fence
CLEANFILES += fence/fence_kemari
TESTS += tests/agent/fence-offline

fence/fence_kemari: fence/fence_kemari.in Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	$(edit) $(srcdir)/fence/fence_kemari.in >$@.tmp && \
	chmod 755 $@.tmp && mv $@.tmp $@
