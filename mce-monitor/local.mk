# SPDX-License-Identifier: GPL-2.0-or-later
# kemari-mced; included by Makefile.am.

# what decides
kemari_health_sources = \
	mce-monitor/hwdecode.c mce-monitor/hwdecode.h \
	mce-monitor/hwdecode_mce.c \
	mce-monitor/hwrecord.c mce-monitor/hwrecord.h \
	mce-monitor/limits.c mce-monitor/limits.h mce-monitor/now.h \
	mce-monitor/policy.c mce-monitor/policy.h mce-monitor/policy_priv.h \
	mce-monitor/policy_sources.c
# what reads pages
kemari_pages_sources = \
	mce-monitor/hwrecord.c mce-monitor/hwrecord.h \
	mce-monitor/pages.c mce-monitor/pages.h \
	mce-monitor/replay.c mce-monitor/replay.h \
	mce-monitor/ringpage.c mce-monitor/ringpage.h
kemari_mced_io_sources = \
	kemarid/io/ipc_priv.h \
	kemarid/io/ipc_stay.c kemarid/io/ipc_stay.h \
	mce-monitor/pages.c mce-monitor/pages.h \
	mce-monitor/replay.c mce-monitor/replay.h \
	mce-monitor/report.c mce-monitor/report.h \
	mce-monitor/ringpage.c mce-monitor/ringpage.h \
	mce-monitor/source_edac.c mce-monitor/source_edac.h \
	mce-monitor/source_link.c mce-monitor/source_link.h \
	mce-monitor/source_trace.c mce-monitor/source_trace.h

sbin_PROGRAMS += kemari-mced
kemari_mced_SOURCES = \
	kemarid/core/colour.h kemarid/core/text.c kemarid/core/text.h \
	kemarid/core/verdict.h \
	kemarid/io/config.c kemarid/io/config.h \
	kemarid/io/log.c kemarid/io/log.h \
	mce-monitor/daemon.c mce-monitor/daemon.h \
	mce-monitor/main.c \
	mce-monitor/monitor.c mce-monitor/monitor.h \
	$(kemari_mced_io_sources) $(kemari_health_sources)
kemari_mced_CFLAGS = $(AM_CFLAGS) $(QB_CFLAGS) $(TRACE_CFLAGS)
kemari_mced_LDADD = $(QB_LIBS) $(TRACE_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/mced/test_hwdecode tests/mced/test_policy
tests_mced_test_hwdecode_SOURCES = tests/mced/test_hwdecode.c \
	$(kemari_health_sources)
tests_mced_test_hwdecode_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_mced_test_hwdecode_LDADD = $(CMOCKA_LIBS)
tests_mced_test_policy_SOURCES = tests/mced/test_policy.c \
	$(kemari_health_sources)
tests_mced_test_policy_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_mced_test_policy_LDADD = $(CMOCKA_LIBS)
check_PROGRAMS += tests/mced/test_pages
tests_mced_test_pages_SOURCES = tests/mced/test_pages.c \
	$(kemari_pages_sources) mce-monitor/hwdecode.c mce-monitor/hwdecode_mce.c
tests_mced_test_pages_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(TRACE_CFLAGS) \
	-DTESTS='"$(abs_top_srcdir)/tests"'
tests_mced_test_pages_LDADD = $(CMOCKA_LIBS) $(TRACE_LIBS)
check_PROGRAMS += tests/mced/test_sources
tests_mced_test_sources_SOURCES = tests/mced/test_sources.c \
	tests/unit/loop_help.h kemarid/io/ipc.c kemarid/io/ipc_stay.c \
	mce-monitor/report.c mce-monitor/source_edac.c $(kemari_health_sources)
tests_mced_test_sources_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(QB_CFLAGS)
tests_mced_test_sources_LDADD = $(CMOCKA_LIBS) $(QB_LIBS)
TESTS += tests/mced/test_sources.sh
TESTS += tests/mced/test_hwdecode tests/mced/test_pages \
	tests/mced/test_policy
endif

check_PROGRAMS += tests/mced/mkpages
tests_mced_mkpages_SOURCES = tests/mced/mkpages.c $(kemari_pages_sources)
tests_mced_mkpages_CFLAGS = $(AM_CFLAGS) $(TRACE_CFLAGS)
tests_mced_mkpages_LDADD = $(TRACE_LIBS)

TESTS += tests/mced/replay-days
EXTRA_DIST += tests/mced/rasdaemon tests/mced/rasdaemon-compare.py \
	tests/mced/bench tests/mced/test_sources.sh tests/mced/replay-days tests/mced/days tests/mced/formats \
	tests/hardware/recorded
