# SPDX-License-Identifier: GPL-2.0-or-later
# kemari-mced; included by Makefile.am.
kemari_health_sources = \
	mce-monitor/hwdecode.c mce-monitor/hwdecode.h \
	mce-monitor/hwdecode_mce.c \
	mce-monitor/hwrecord.c mce-monitor/hwrecord.h \
	mce-monitor/limits.c mce-monitor/limits.h \
	mce-monitor/policy.c mce-monitor/policy.h mce-monitor/policy_priv.h \
	mce-monitor/policy_sources.c

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
TESTS += tests/mced/test_hwdecode tests/mced/test_policy
endif
