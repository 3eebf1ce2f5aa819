# SPDX-License-Identifier: GPL-2.0-or-later
# The witness's client, and the witness itself as a program for its tests
# (the guest's own copy is static; tests/guest/build makes it).
noinst_PROGRAMS += tests/guest/client tests/guest/witness

tests_guest_client_SOURCES = tests/guest/client.c tests/guest/client.h \
	tests/guest/client_blackout.c tests/guest/client_link.c \
	tests/guest/client_report.c tests/guest/client_verify.c \
	tests/guest/witness.h

tests_guest_witness_SOURCES = tests/guest/witness.c tests/guest/witness.h \
	tests/guest/witness_boot.c tests/guest/witness_clock.c \
	tests/guest/witness_device.c tests/guest/witness_disk.c \
	tests/guest/witness_guest.h \
	tests/guest/witness_load.c tests/guest/witness_port.c \
	tests/guest/witness_power.c
tests_guest_witness_CFLAGS = $(AM_CFLAGS) -pthread
tests_guest_witness_LDFLAGS = $(AM_LDFLAGS) -pthread

TESTS += tests/guest/test_client tests/guest/test_doublerun
EXTRA_DIST += tests/guest/build tests/guest/test_client tests/guest/liar.py \
	tests/guest/doublerun tests/guest/test_doublerun tests/guest/power \
	tests/guest/README.md tests/engine
