# SPDX-License-Identifier: GPL-2.0-or-later
# Tests of kemarid/io. The two .sh run against a real libvirtd and a real
# fencer, each in namespaces of its own (77: not possible here).

EXTRA_DIST += tests/unit/libvirt-sandbox tests/unit/test_virt.sh \
	tests/unit/test_fencewatch.sh tests/unit/test_cpg.sh \
	tests/unit/test_kemarictl.sh tests/unit/test_devices.sh \
	tests/unit/test_unread.sh
TESTS += tests/unit/test_devices.sh tests/unit/test_unread.sh

if HAVE_CMOCKA
check_LIBRARIES += tests/unit/libkmrio.a
tests_unit_libkmrio_a_SOURCES = $(kemari_io_sources)
tests_unit_libkmrio_a_CPPFLAGS = $(AM_CPPFLAGS)
tests_unit_libkmrio_a_CFLAGS = $(AM_CFLAGS) $(ALL_LIB_CFLAGS)
io_test_libs = tests/unit/libkmrio.a $(QB_LIBS) $(CPG_LIBS) \
	$(QUORUM_LIBS) $(CMAP_LIBS) $(LIBVIRT_LIBS) $(XML_LIBS) \
	$(JANSSON_LIBS) $(UUID_LIBS) $(FENCING_LIBS) $(CMOCKA_LIBS) -lpthread
io_test_cflags = $(AM_CFLAGS) $(ALL_LIB_CFLAGS) $(CMOCKA_CFLAGS)

check_PROGRAMS += tests/unit/test_attr
tests_unit_test_attr_SOURCES = tests/unit/test_attr.c tests/unit/loop_help.h
tests_unit_test_attr_CFLAGS = $(io_test_cflags)
tests_unit_test_attr_LDADD = $(io_test_libs)

check_PROGRAMS += tests/unit/test_attrwatch
tests_unit_test_attrwatch_SOURCES = tests/unit/test_attrwatch.c \
	tests/unit/loop_help.h
tests_unit_test_attrwatch_CFLAGS = $(io_test_cflags)
tests_unit_test_attrwatch_LDADD = $(io_test_libs)
TESTS += tests/unit/test_attrwatch

check_PROGRAMS += tests/unit/test_uses
tests_unit_test_uses_SOURCES = tests/unit/test_uses.c kemarid/io/uses.c
tests_unit_test_uses_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_uses_LDADD = $(CMOCKA_LIBS)
TESTS += tests/unit/test_uses

check_PROGRAMS += tests/unit/test_child
tests_unit_test_child_SOURCES = tests/unit/test_child.c tests/unit/loop_help.h
tests_unit_test_child_CFLAGS = $(io_test_cflags)
tests_unit_test_child_LDADD = $(io_test_libs)

check_PROGRAMS += tests/unit/test_devices
tests_unit_test_devices_SOURCES = tests/unit/test_devices.c
tests_unit_test_devices_CFLAGS = $(io_test_cflags)
tests_unit_test_devices_LDADD = $(io_test_libs)
TESTS += tests/unit/test_devices

check_PROGRAMS += tests/unit/test_qomwalk
tests_unit_test_qomwalk_SOURCES = tests/unit/test_qomwalk.c
tests_unit_test_qomwalk_CFLAGS = $(io_test_cflags)
tests_unit_test_qomwalk_LDADD = $(io_test_libs)
TESTS += tests/unit/test_qomwalk

check_PROGRAMS += tests/unit/test_domxml
tests_unit_test_domxml_SOURCES = tests/unit/test_domxml.c tests/unit/loop_help.h
tests_unit_test_domxml_CFLAGS = $(io_test_cflags)
tests_unit_test_domxml_LDADD = $(io_test_libs)

check_PROGRAMS += tests/unit/test_qmp
tests_unit_test_qmp_SOURCES = tests/unit/test_qmp.c tests/unit/loop_help.h
tests_unit_test_qmp_CFLAGS = $(io_test_cflags)
tests_unit_test_qmp_LDADD = $(io_test_libs)

check_PROGRAMS += tests/unit/test_taps
tests_unit_test_taps_SOURCES = tests/unit/test_taps.c tests/unit/loop_help.h
tests_unit_test_taps_CFLAGS = $(io_test_cflags)
tests_unit_test_taps_LDADD = $(io_test_libs)

check_PROGRAMS += tests/unit/test_virt_loop
tests_unit_test_virt_loop_SOURCES = tests/unit/test_virt_loop.c tests/unit/loop_help.h
tests_unit_test_virt_loop_CFLAGS = $(io_test_cflags)
tests_unit_test_virt_loop_LDADD = $(io_test_libs)

check_PROGRAMS += tests/unit/test_virt
tests_unit_test_virt_SOURCES = tests/unit/test_virt.c tests/unit/loop_help.h
tests_unit_test_virt_CFLAGS = $(io_test_cflags)
tests_unit_test_virt_LDADD = $(io_test_libs)

check_PROGRAMS += tests/unit/test_fencewatch
tests_unit_test_fencewatch_SOURCES = tests/unit/test_fencewatch.c tests/unit/loop_help.h
tests_unit_test_fencewatch_CFLAGS = $(io_test_cflags)
tests_unit_test_fencewatch_LDADD = $(io_test_libs)

check_PROGRAMS += tests/unit/test_cpg
tests_unit_test_cpg_SOURCES = tests/unit/test_cpg.c tests/unit/loop_help.h \
	kemarid/io/cpg.c kemarid/io/quorum.c
tests_unit_test_cpg_CFLAGS = $(io_test_cflags)
tests_unit_test_cpg_LDADD = $(CPG_LIBS) $(QUORUM_LIBS) $(CMAP_LIBS) $(QB_LIBS) \
	$(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_nodefence
tests_unit_test_nodefence_SOURCES = tests/unit/test_nodefence.c \
	kemarid/core/nodefence.c kemarid/core/text.c
tests_unit_test_nodefence_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_nodefence_LDADD = $(CMOCKA_LIBS)
TESTS += tests/unit/test_nodefence

check_PROGRAMS += tests/unit/test_config
tests_unit_test_config_SOURCES = tests/unit/test_config.c kemarid/io/config.c \
	kemarid/io/config.h kemarid/core/limits.h kemarid/core/text.c \
	mce-monitor/limits.c mce-monitor/limits.h
tests_unit_test_config_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) \
	-DEXAMPLE='"$(abs_top_srcdir)/cluster-configs/kemari.conf"'
tests_unit_test_config_LDADD = $(CMOCKA_LIBS)
TESTS += tests/unit/test_config

check_PROGRAMS += tests/unit/test_health
tests_unit_test_health_SOURCES = tests/unit/test_health.c \
	kemarid/core/health.c kemarid/core/phase.c kemarid/core/text.c
tests_unit_test_health_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_health_LDADD = $(CMOCKA_LIBS)
TESTS += tests/unit/test_health

check_PROGRAMS += tests/unit/test_moves
tests_unit_test_moves_SOURCES = tests/unit/test_moves.c \
	kemarid/core/health.c kemarid/core/moves.c kemarid/core/phase.c \
	kemarid/core/text.c
tests_unit_test_moves_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_moves_LDADD = $(CMOCKA_LIBS)
TESTS += tests/unit/test_moves

check_PROGRAMS += tests/unit/test_flapping
tests_unit_test_flapping_SOURCES = tests/unit/test_flapping.c \
	kemarid/core/health.c kemarid/core/phase.c kemarid/core/text.c
tests_unit_test_flapping_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_flapping_LDADD = $(CMOCKA_LIBS)
TESTS += tests/unit/test_flapping

check_PROGRAMS += tests/unit/test_place
tests_unit_test_place_SOURCES = tests/unit/test_place.c tests/unit/cluster.c \
	tests/unit/cluster.h $(kemari_core_sources)
tests_unit_test_place_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_place_LDADD = $(CMOCKA_LIBS)
TESTS += tests/unit/test_place

check_PROGRAMS += tests/unit/test_trouble
tests_unit_test_trouble_SOURCES = tests/unit/test_trouble.c \
	tests/unit/cluster.c tests/unit/cluster.h $(kemari_core_sources)
tests_unit_test_trouble_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_trouble_LDADD = $(CMOCKA_LIBS)
TESTS += tests/unit/test_trouble

check_PROGRAMS += tests/unit/test_alone tests/unit/test_pair tests/unit/test_people \
	tests/unit/test_wire
tests_unit_test_alone_SOURCES = tests/unit/test_alone.c tests/unit/cluster.c \
	tests/unit/cluster.h $(kemari_core_sources)
tests_unit_test_alone_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_alone_LDADD = $(CMOCKA_LIBS)
tests_unit_test_pair_SOURCES = tests/unit/test_pair.c tests/unit/cluster.c \
	tests/unit/cluster.h $(kemari_core_sources)
tests_unit_test_pair_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_pair_LDADD = $(CMOCKA_LIBS)
tests_unit_test_people_SOURCES = tests/unit/test_people.c \
	tests/unit/cluster.c tests/unit/cluster.h $(kemari_core_sources)
tests_unit_test_people_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_people_LDADD = $(CMOCKA_LIBS)
tests_unit_test_wire_SOURCES = tests/unit/test_wire.c $(kemari_core_sources)
tests_unit_test_wire_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_wire_LDADD = $(CMOCKA_LIBS)

TESTS += tests/unit/test_alone tests/unit/test_pair tests/unit/test_people tests/unit/test_wire
TESTS += tests/unit/test_cpg.sh tests/unit/test_attr tests/unit/test_child tests/unit/test_domxml \
	tests/unit/test_qmp tests/unit/test_taps tests/unit/test_virt_loop \
	tests/unit/test_virt.sh tests/unit/test_fencewatch.sh
endif

check_PROGRAMS += tests/unit/ctl_server
tests_unit_ctl_server_SOURCES = tests/unit/ctl_server.c kemarid/io/ipc.c
tests_unit_ctl_server_CFLAGS = $(AM_CFLAGS) $(QB_CFLAGS)
tests_unit_ctl_server_LDADD = $(QB_LIBS)
TESTS += tests/unit/test_kemarictl.sh
