# SPDX-License-Identifier: GPL-2.0-or-later
# tests/hardware/run is of tests/list; this is its tool.
EXTRA_DIST += tests/hardware/README.md tests/hardware/run \
	tests/hardware/vmnode tests/hardware/poisoned-page \
	tests/hardware/door.py \
	tests/hardware/fake-mc tests/hardware/recorded
noinst_PROGRAMS += tests/hardware/say
tests_hardware_say_SOURCES = tests/hardware/say.c kemarid/io/ipc.c
tests_hardware_say_CFLAGS = $(AM_CFLAGS) $(QB_CFLAGS)
tests_hardware_say_LDADD = $(QB_LIBS)
