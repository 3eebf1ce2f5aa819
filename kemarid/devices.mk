# SPDX-License-Identifier: GPL-2.0-or-later
# The device table, for kemarid and kemarictl; included by Makefile.am between
# io.mk and what uses its lists.
EXTRA_DIST += kemarid/devices.table kemarid/devices.awk
BUILT_SOURCES += kemarid/devices_table.inc
CLEANFILES += kemarid/devices_table.inc
kemari_io_sources += kemarid/io/devices.c kemarid/io/devices.h \
	kemarid/io/devxml.c kemarid/io/devxml.h \
	kemarid/io/qomwalk.c kemarid/io/qomwalk.h
kemari_io_check_sources += kemarid/io/devices.c kemarid/io/devices.h \
	kemarid/io/devxml.c kemarid/io/devxml.h

kemarid/devices_table.inc: $(srcdir)/kemarid/devices.table \
		$(srcdir)/kemarid/devices.awk
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	$(AWK) -f $(srcdir)/kemarid/devices.awk \
		$(srcdir)/kemarid/devices.table >$@-t && mv $@-t $@
