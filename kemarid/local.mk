# SPDX-License-Identifier: GPL-2.0-or-later
# kemarid and kemarictl; included by Makefile.am after kemarid/io.mk.
kemari_core_sources = \
	kemarid/core/answer.c kemarid/core/answer.h \
	kemarid/core/alone.c \
	kemarid/core/claim.c \
	kemarid/core/colour.h \
	kemarid/core/consensus.c kemarid/core/consensus.h \
	kemarid/core/consensus_others.c kemarid/core/consensus_priv.h \
	kemarid/core/fact.c \
	kemarid/core/health.c kemarid/core/health.h kemarid/core/verdict.h \
	kemarid/core/limits.h \
	kemarid/core/moves.c kemarid/core/moves.h \
	kemarid/core/nodefence.c kemarid/core/nodefence.h \
	kemarid/core/owner.c \
	kemarid/core/owner_engine.c \
	kemarid/core/pair.c kemarid/core/pair.h kemarid/core/pair_priv.h \
	kemarid/core/phase.c \
	kemarid/core/place.c \
	kemarid/core/record.c kemarid/core/record.h \
	kemarid/core/standby.c \
	kemarid/core/step.c \
	kemarid/core/text.c kemarid/core/text.h \
	kemarid/core/trouble.c kemarid/core/trouble.h \
	kemarid/core/wire.c kemarid/core/wire.h

kemari_cluster_sources = \
	kemarid/io/config.c kemarid/io/config.h \
	mce-monitor/limits.c mce-monitor/limits.h \
	kemarid/io/cpg.c kemarid/io/cpg.h \
	kemarid/io/ipc.c kemarid/io/ipc.h \
	kemarid/io/log.c kemarid/io/log.h \
	kemarid/io/members.c kemarid/io/members.h \
	kemarid/io/quorum.c kemarid/io/quorum.h \
	kemarid/io/statefile.c kemarid/io/statefile.h

sbin_PROGRAMS += kemarid/kemarid
kemarid_kemarid_SOURCES = \
	kemarid/main.c \
	kemarid/shell.c kemarid/shell.h \
	kemarid/shell_cluster.c \
	kemarid/shell_devices.c \
	kemarid/shell_engine.c \
	kemarid/shell_fence.c kemarid/shell_fence.h \
	kemarid/shell_fenced.c \
	kemarid/shell_guest.c \
	kemarid/shell_hardware.c \
	kemarid/shell_health.c kemarid/shell_health.h \
	kemarid/shell_input.c \
	kemarid/shell_request.c \
	kemarid/shell_state.c \
	kemarid/shell_status.c \
	kemarid/shell_vm.c \
	$(kemari_core_sources) \
	$(kemari_cluster_sources) \
	$(kemari_io_sources)
kemarid_kemarid_CPPFLAGS = $(AM_CPPFLAGS) \
	-DKMR_EMULATOR='"$(libexecdir)/kemari/qemu-system-x86_64"'
kemarid_kemarid_CFLAGS = $(AM_CFLAGS) $(ALL_LIB_CFLAGS)
kemarid_kemarid_LDADD = $(CPG_LIBS) $(QUORUM_LIBS) $(CMAP_LIBS) $(QB_LIBS) \
	$(LIBVIRT_LIBS) $(XML_LIBS) $(JANSSON_LIBS) $(UUID_LIBS) \
	$(FENCING_LIBS) -lpthread
