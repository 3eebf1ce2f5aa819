# SPDX-License-Identifier: GPL-2.0-or-later
# kemarictl; included by Makefile.am after io.mk.
bin_PROGRAMS += kemarictl
kemarictl_SOURCES = kemarid/kemarictl.c kemarid/ctl.h \
	kemarid/ctl_devices.c kemarid/ctl_local.c kemarid/ctl_show.c \
	kemarid/core/text.c kemarid/core/text.h \
	kemarid/io/config.c kemarid/io/config.h kemarid/io/ipc.c kemarid/io/ipc.h \
	mce-monitor/limits.c mce-monitor/limits.h \
	kemarid/io/pidwatch.c kemarid/io/pidwatch.h \
	kemarid/io/statefile.c kemarid/io/statefile.h \
	$(kemari_io_check_sources)
kemarictl_CFLAGS = $(AM_CFLAGS) $(QB_CFLAGS) $(XML_CFLAGS) $(JANSSON_CFLAGS) \
	$(UUID_CFLAGS)
kemarictl_LDADD = $(QB_LIBS) $(XML_LIBS) $(JANSSON_LIBS) $(UUID_LIBS) -lpthread
